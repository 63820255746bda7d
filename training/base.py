"""The base model to train on: a Hugging Face folder, or straight from a GGUF, whose packed weights are unpacked first.

Unpacking once and training on plain floats is several times as fast as unpacking in every step. Transformers reads the
weights (and puts back the rows of q_proj and k_proj that GGUF holds permuted); the tokenizer is built here from the GGUF's own
vocabulary and merges, because Transformers' reading of it splits digits otherwise than the model was trained with."""

import hashlib
import json
import os
from pathlib import Path

from dataset.problem import Problem
from dataset.prompts import ROOT

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a wrong path must be an error, not a search on the hub

# Where the bot keeps its models; what is relative lies in the repository, as for scripts/fetch-models.sh.
CACHE = ROOT / (os.environ.get("AI_FRIEND_MODELS") or "models/cache")
# The pinned file that the catalogue names; what is served is its Q4_0, made from it on the user's machine.
SOURCE = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
SERVED = CACHE / "SmolLM2-135M-Instruct.Q4_0.gguf"

# What `ai-friend models convert-lora` makes adapters for, as config.json and as a GGUF calls it.
KINDS = {"llama": "llama", "gpt_neox": "gptneox"}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(base: Path) -> str:
    """The sha256 of a base: of the GGUF, or of the weights and settings in a folder."""
    if base.is_file():
        return sha256(base)
    digest = hashlib.sha256()
    for path in sorted(path for path in base.glob("*") if path.suffix in (".safetensors", ".bin", ".json")):
        digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def kind_of(folder: Path) -> str | None:
    """The architecture that a Hugging Face folder names."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("model_type") if isinstance(config, dict) else None


def check_kind(base: Path, kind: str | None, known) -> None:
    """Refuses, before its weights are read, a base whose adapter could be trained for hours and then not be exported."""
    if kind not in known:
        raise Problem(f"{base} is of architecture `{kind}`, and the bot takes adapters of {' and '.join(known)} only",
                      "Take a Llama, such as SmolLM2, or a GPT-NeoX, such as Dolly or Pythia.")


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def load(base: Path, bf16: bool = False):
    """(model in eval state, tokenizer with `chat_template` where the base has one)."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not base.exists():
        raise Problem(f"there is no base model at {base}", "`ai-friend models pull smollm2-135m-instruct` makes the embedded one; or name a folder or a .gguf with --base.")
    kind = torch.bfloat16 if bf16 else torch.float32
    if base.is_dir():
        try:
            check_kind(base, kind_of(base), KINDS)
            model = AutoModelForCausalLM.from_pretrained(base, dtype=kind, local_files_only=True)
            return model.eval(), AutoTokenizer.from_pretrained(base, local_files_only=True)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise Problem(f"{base} cannot be loaded: {first_line(error)}",
                          "It needs config.json, safetensors weights and tokenizer.json, each of them whole: fetch again what was cut off.") from None
    if base.suffix != ".gguf":
        raise Problem(f"{base} is neither a folder nor a .gguf", "Name a Hugging Face folder or a GGUF file.")
    try:
        check_kind(base, fields_of(base, "general.architecture")[0], KINDS.values())
        model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=kind, local_files_only=True)
        return model.eval(), tokenizer_of(base)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise Problem(f"{base} cannot be unpacked: {first_line(error)}", "Train from the model's Hugging Face folder instead.") from None


def fields_of(gguf: Path, *names) -> list:
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    return [fields[name].contents() if name in fields else None for name in names]


def tokenizer_of(gguf: Path):
    """The byte-level BPE tokenizer that a GGUF describes, splitting text as llama.cpp does for its `pre` kind."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens, merges, kinds, pre, template, bos, eos, pad = fields_of(
        gguf, *(f"tokenizer.{name}" for name in ("ggml.tokens", "ggml.merges", "ggml.token_type", "ggml.pre", "chat_template",
                                                 "ggml.bos_token_id", "ggml.eos_token_id", "ggml.padding_token_id")))
    if not merges:
        raise Problem(f"{gguf} has no BPE tokenizer", "Train from the model's Hugging Face folder instead.")
    digits = [pre_tokenizers.Digits(individual_digits=True)]
    before = {"smollm": digits, "gpt-2": [], "olmo": [], "dbrx": [], None: []}.get(pre)
    if before is None:
        raise Problem(f"{gguf}: the tokenizer kind `{pre}` is not known here", "Train from the model's Hugging Face folder instead.")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocabulary, [tuple(merge.split(" ", 1)) for merge in merges]))
    made.pre_tokenizer = pre_tokenizers.Sequence([*before, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    controls = [token for token, kind in zip(tokens, kinds) if kind == 3]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    named = {name: tokens[index] for name, index in (("bos_token", bos), ("eos_token", eos), ("pad_token", pad)) if index is not None}
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template, clean_up_tokenization_spaces=False, **named)
