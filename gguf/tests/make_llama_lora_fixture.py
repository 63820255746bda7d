"""Writes fixtures/llama: a tiny Llama of random weights, its GGUF, a LoRA over all its linear layers, and what Transformers
with PEFT computes from them in float32.

Needs torch, transformers, peft and gguf (made with 2.8.0, 4.57.6, 0.18.1 and 0.17.1 on the CPU; the versions of
training/requirements.txt). The GGUF is written here by hand, so that nothing of the converter under test has a part in it.
"""

import json
import pathlib

import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

SEED = 20
FOLDER = pathlib.Path(__file__).parent / "fixtures/llama"
RANK, ALPHA = 4, 8
HEADS, KV_HEADS, LAYERS, HIDDEN, FEED_FORWARD = 4, 2, 2, 64, 96
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o")]


def tokens():
    """GPT-2's 256 byte symbols, what the merges make of them, and three control tokens."""
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

    return list(bytes_to_unicode().values()) + [left + right for left, right in MERGES] + SPECIAL


VOCABULARY = len(tokens())


def model():
    """Every weight is exact in half precision, in which the checkpoint is kept; attention is far from uniform."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=256,
        rope_theta=100000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
        attn_implementation="eager",
    )
    made = transformers.LlamaForCausalLM(config).float().eval()
    random = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            drawn = torch.randn(weight.shape, generator=random)
            scale = 0.5 if "embed" in name else 0.2
            drawn = 1 + 0.2 * drawn if weight.dim() == 1 else scale * drawn
            weight.copy_(drawn.half().float())
    return made


def adapter(base, folder):
    """A LoRA over every linear layer, both factors random: PEFT's own second factor would be zero."""
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=modules, lora_dropout=0.0, task_type="CAUSAL_LM")
    made = peft.get_peft_model(base, config)
    random = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_" in name:
                weight.copy_(0.12 * torch.randn(weight.shape, generator=random))
    made.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../hf-safetensors"
    # PEFT keeps them as a set, whose order is another one each time.
    config["target_modules"] = modules
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return made.eval()


def permuted(weight, heads):
    """llama.cpp rotates neighbours, Transformers halves of a head."""
    shape = (heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)


def restored(weight, heads):
    """The other way round: what llama.cpp sees in rows that nobody permuted."""
    shape = (heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(base, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("a tiny Llama of random weights")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens())
    writer.add_token_types([1] * (VOCABULARY - len(SPECIAL)) + [3] * len(SPECIAL))
    writer.add_token_merges([f"{left} {right}" for left, right in MERGES])
    writer.add_bos_token_id(VOCABULARY - 2)
    writer.add_eos_token_id(VOCABULARY - 1)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, weight in base.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = weight.numpy().astype(np.float32)
        if "q_proj" in name:
            values = permuted(values, HEADS)
        if "k_proj" in name:
            values = permuted(values, KV_HEADS)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


PROMPTS = [("one", 1), ("few", 5), ("sentence", 17), ("paragraph", 48), ("page", 120)]


def prompts():
    random = torch.Generator().manual_seed(SEED + 2)
    return [(name, torch.randint(0, VOCABULARY, (length,), generator=random).tolist()) for name, length in PROMPTS]


@torch.no_grad()
def computed(made):
    """Logits of the last position of every prompt, and 24 greedy tokens with the margins they were drawn at."""
    found, rows = {}, []
    for name, ids in prompts():
        tokens, margins, first = list(ids), [], None
        for _ in range(24):
            logits = made(torch.tensor([tokens]), use_cache=False).logits[0, -1]
            first = logits if first is None else first
            best = torch.topk(logits, 2)
            margins.append(round(float(best.values[0] - best.values[1]), 5))
            tokens.append(int(best.indices[0]))
        top = torch.topk(first, 50)
        found[name] = {
            "top50_ids": top.indices.tolist(),
            "top50_logits": [round(value, 6) for value in top.values.tolist()],
            "greedy24": tokens[len(ids) :],
            "greedy24_margin": margins,
        }
        rows.append(first)
    return found, torch.stack(rows)


def scaled(made, scale):
    for module in made.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.scaling["default"] = ALPHA / RANK * scale


def main():
    for part in ["hf-safetensors", "lora-new", "gguf", "expected"]:
        (FOLDER / part).mkdir(parents=True, exist_ok=True)
    base = model()
    config = base.config.to_diff_dict() | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (FOLDER / "hf-safetensors/config.json").write_text(json.dumps(config, indent=1) + "\n")
    weights = {name: weight.half().contiguous() for name, weight in base.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, FOLDER / "hf-safetensors/model.safetensors", metadata={"format": "pt"})
    write_gguf(base, FOLDER / "gguf/model-f32.gguf")

    variants = {"base": computed(base)}
    made = adapter(base, FOLDER / "lora-new")
    for scale in [1.0, 0.5]:
        scaled(made, scale)
        variants[f"lora_{scale}"] = computed(made)
    scaled(made, 1.0)
    save_file({name: rows for name, (_, rows) in variants.items()}, FOLDER / "expected/last_logits.safetensors")
    expected = {
        "seed": SEED,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "compute": "float32, CPU, eager attention, no KV cache",
        "prompts": [
            {"name": name, "ids": ids, "variants": {variant: found[name] for variant, (found, _) in variants.items()}}
            for name, ids in prompts()
        ],
    }
    (FOLDER / "expected/expected.json").write_text(json.dumps(expected) + "\n")

    right = variants["lora_1.0"][1]
    controls = {"lora_ignored": variants["base"][1], "lora_half_scale": variants["lora_0.5"][1]}
    factors = load_file(FOLDER / "lora-new/adapter_model.safetensors")
    with torch.no_grad():
        for name, weight in made.named_parameters():
            stored = factors.get(name.replace(".default", ""))
            if "lora_B" in name and ("q_proj" in name or "k_proj" in name):
                weight.copy_(restored(stored, HEADS if "q_proj" in name else KV_HEADS))
    controls["lora_B_not_permuted"] = computed(made)[1]
    moved = {name: {"max_abs_logit": float((rows - right).abs().max())} for name, rows in controls.items()}
    note = "float32 Transformers: how far each mistake of a converter moves the last-position logits of lora_1.0"
    (FOLDER / "expected/negative-controls.json").write_text(json.dumps({"note": note, "controls": moved}, indent=1) + "\n")
    print(json.dumps(moved, indent=1))


if __name__ == "__main__":
    main()
