"""Models of a few thousand weights, to take through the whole pipeline in seconds."""

import json
from pathlib import Path

from dataset.prompts import ROOT

NEOX = ROOT / "gguf/tests/fixtures/micro/hf-safetensors"
TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


def dialogues(count: int = 24) -> list:
    """Dialogues of a pattern that a tiny model can learn."""
    made = []
    for number in range(count):
        turns = [{"who": "person", "text": f"hi there, day {number} was long", "emotion": "neutral"},
                 {"who": "friend", "text": "Sit down and tell the whole story. What was the best of it?"},
                 {"who": "person", "text": "the soup", "emotion": "joy"},
                 {"who": "friend", "text": "Sit down with the soup, then, and tell the whole story of it."}]
        made.append({"id": f"t{number}", "mode": ("GENERAL", "FIX")[number % 2], "topic": f"topic-{number}", "persona": "any", "memory": [], "turns": turns})
    return made


def write_dialogues(path: Path, count: int = 24) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in dialogues(count)))
    return path


def bpe(size: int = 400):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator([turn["text"] for entry in dialogues() for turn in entry["turns"]], trainer)
    return json.loads(made.to_str())["model"]


def llama_gguf(path: Path) -> Path:
    """A Llama of random weights with grouped heads, as GGUF: the rows of q and k permuted, as llama.cpp wants them."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    model = bpe()
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    config = LlamaConfig(vocab_size=len(vocabulary), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=1024, rope_theta=10000.0, tie_word_embeddings=True,
                         initializer_range=0.1)  # wide enough for clear margins between tokens
    llama = LlamaForCausalLM(config)
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in ((writer.add_name, "tiny"), (writer.add_context_length, 1024), (writer.add_embedding_length, 64), (writer.add_block_count, 2),
                       (writer.add_feed_forward_length, 96), (writer.add_head_count, 4), (writer.add_head_count_kv, 2),
                       (writer.add_layer_norm_rms_eps, config.rms_norm_eps), (writer.add_rope_freq_base, 10000.0), (writer.add_rope_dimension_count, 16),
                       (writer.add_vocab_size, len(vocabulary)), (writer.add_file_type, 0), (writer.add_tokenizer_model, "gpt2"),
                       (writer.add_tokenizer_pre, "smollm"), (writer.add_token_list, vocabulary), (writer.add_token_types, [3] * 3 + [1] * (len(vocabulary) - 3)),
                       (writer.add_token_merges, [" ".join(merge) for merge in model["merges"]]), (writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2),
                       (writer.add_pad_token_id, 2), (writer.add_add_bos_token, False), (writer.add_chat_template, TEMPLATE)):
        add(value)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    inner = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}
    for layer in range(2):
        names |= {f"model.layers.{layer}.{theirs}": f"blk.{layer}.{ours}" for theirs, ours in inner.items()}
    for name, value in llama.state_dict().items():
        if name == "lm_head.weight":
            continue
        value = value.float()
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if heads:
            value = value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)
        writer.add_tensor(names[name.removesuffix(".weight")] + ".weight", value.contiguous().numpy())
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    return path


def recipe(path: Path, template: str, targets: str, extra: str = "", data: str = "", lr: str = "1e-2", dropout: float = 0.0, rank: int = 4) -> Path:
    path.write_text(f"""template = "{template}"
seed = 3
epochs = 8
max_tokens = 900
[lora]
r = {rank}
alpha = {2 * rank}
dropout = {dropout}
targets = {targets}
[optimizer]
lr = {lr}
weight_decay = 0.0
warm_up = 2
schedule = "cosine"
clip = 1.0
{extra or 'batch_tokens = 1800'}
accumulate = 1
[data]
licence = "tests"
{data}
[keep]
every_steps = 6
""")
    return path
