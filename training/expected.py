"""Writes what the original computes, for `ai-friend models verify`: last-position logits and 24 greedy tokens with margins."""

import json
from pathlib import Path


def variant(model, ids: list) -> tuple:
    """(entry, logits of the last position) for one prompt, in float32 without a KV cache."""
    import torch

    tokens, margins, first = list(ids), [], None
    with torch.no_grad():
        for _ in range(24):
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].float()
            first = logits if first is None else first
            best = logits.topk(2)
            margins.append(float(best.values[0] - best.values[1]))
            tokens.append(int(best.indices[0]))
    top = first.topk(min(50, len(first)))
    entry = {"top50_ids": top.indices.tolist(), "top50_logits": top.values.tolist()}
    return entry | {"greedy24": tokens[len(ids):], "greedy24_margin": margins}, first


def write(folder: Path, prompts: list, variants: dict) -> Path:
    """`prompts` are (name, text, ids); `variants` are callables that make the model ready and give it, by their names."""
    from safetensors.torch import save_file
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"name": name, "text": text, "ids": ids, "variants": {}} for name, text, ids in prompts]
    rows = {}
    for name, ready in variants.items():
        model = ready()
        made = [variant(model, ids) for _, _, ids in prompts]
        for entry, (values, _) in zip(entries, made):
            entry["variants"][name] = values
        rows[name] = torch.stack([logits for _, logits in made]).contiguous()
    save_file(rows, folder / "last_logits.safetensors")
    path = folder / "expected.json"
    path.write_text(json.dumps({"logits_file": "last_logits.safetensors", "prompts": entries}))
    return path
