"""MiniLM with heads for seven emotions and for danger, written out: 6 layers × 384, 12 heads, as BERT computes it.

Written out rather than taken from Transformers because (1) eager attention on short messages is about twice as fast on a
CPU as its fused kernel, (2) dropout shared by a message's tokens costs next to nothing where per-token dropout took a
quarter of a step, and (3) the exported graph stays small and made of standard operators.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from data import GOEMOTIONS, LABELS

HIDDEN, HEADS, LAYERS, INNER, EPS = 384, 12, 6, 1536, 1e-12
DANGER_HIDDEN, DANGER_CLASSES = 64, 3


def shared_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout of whole features [batch, 1, hidden], the same for every token of a message (Gal & Ghahramani 2016)."""
    if not training or p == 0.0:
        return x
    keep = torch.rand(x.shape[0], 1, x.shape[-1], device=x.device) >= p
    return x * (keep.to(x.dtype) / (1.0 - p))


class Layer(nn.Module):
    """One post-norm transformer block."""

    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=EPS)
        self.up = nn.Linear(HIDDEN, INNER)
        self.down = nn.Linear(INNER, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=EPS)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [batch, tokens, 384], bias [batch, 1, 1, tokens] (0, or very negative on padding) → like x."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, HEADS, HIDDEN // HEADS)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        weights = torch.softmax(q @ k.transpose(-1, -2) * (HIDDEN // HEADS) ** -0.5 + bias, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, tokens, HIDDEN)
        x = self.norm1(x + shared_dropout(self.out(mixed), self.dropout, self.training))
        inner = nn.functional.gelu(self.up(x))
        return self.norm2(x + shared_dropout(self.down(inner), self.dropout, self.training))


class EmotionModel(nn.Module):
    """Token ids → seven logits of feelings and three of danger. `scale`, `bias` and `danger_bias` are the calibration, identity
    until `calibrate.py` fits them."""

    def __init__(self, vocabulary: int = 30522, dropout: float = 0.1):
        super().__init__()
        self.dropout = dropout
        self.words = nn.Embedding(vocabulary, HIDDEN)
        self.positions = nn.Parameter(torch.zeros(512, HIDDEN))
        self.norm = nn.LayerNorm(HIDDEN, eps=EPS)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.joint = nn.Linear(2 * HIDDEN, HIDDEN)
        self.classify = nn.Linear(HIDDEN, len(LABELS))
        self.classify_fine = nn.Linear(HIDDEN, len(GOEMOTIONS))
        self.danger_joint = nn.Linear(2 * HIDDEN, DANGER_HIDDEN)
        self.danger = nn.Linear(DANGER_HIDDEN, DANGER_CLASSES)
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("bias", torch.zeros(len(LABELS)))
        self.register_buffer("danger_bias", torch.zeros(DANGER_CLASSES))

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[batch, tokens] twice → [batch, 768]: mean and maximum over a message's tokens."""
        tokens = input_ids.shape[1]
        x = self.norm(self.words(input_ids) + self.positions[:tokens])
        if self.training and torch.is_autocast_enabled("cpu"):
            x = x.to(torch.bfloat16)
        x = shared_dropout(x, self.dropout, self.training)
        mask = attention_mask.to(x.dtype)
        bias = (1.0 - mask)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        mask = mask[:, :, None]
        mean = (x * mask).sum(1) / mask.sum(1)
        largest = (x + (mask - 1.0) * 1e4).amax(1)
        return torch.cat([mean, largest], dim=1)

    def features(self, pooled: Tensor) -> Tensor:
        """[batch, 768] → [batch, 384], what the heads for feelings see."""
        return torch.tanh(self.joint(pooled))

    def danger_logits(self, pooled: Tensor) -> Tensor:
        """[batch, 768] → [batch, 3], in the order of `danger.CLASSES`, not calibrated."""
        return self.danger(torch.tanh(self.danger_joint(pooled)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated logits [batch, 7], whose softmax gives the probabilities that the thresholds act on, and [batch, 3], by whose
        softmax danger is spoken of where it is likelier than none."""
        pooled = self.pooled(input_ids, attention_mask)
        return self.classify(self.features(pooled)) * self.scale + self.bias, self.danger_logits(pooled) + self.danger_bias


def from_base(folder: Path, dropout: float = 0.1) -> EmotionModel:
    """The model with MiniLM's weights and a fresh head. BERT's segment embedding (always 0 here) joins the positions."""
    weights = load_file(folder / "model.safetensors")
    model = EmotionModel(weights["embeddings.word_embeddings.weight"].shape[0], dropout)
    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions": weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
    }
    names = {"norm": "embeddings.LayerNorm"}
    for i in range(LAYERS):
        old = f"encoder.layer.{i}."
        names |= {f"layers.{i}.out": old + "attention.output.dense", f"layers.{i}.norm1": old + "attention.output.LayerNorm",
                  f"layers.{i}.up": old + "intermediate.dense", f"layers.{i}.down": old + "output.dense",
                  f"layers.{i}.norm2": old + "output.LayerNorm"}
        for kind in ("weight", "bias"):
            parts = [weights[f"{old}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"layers.{i}.qkv.{kind}"] = torch.cat(parts)
    for new, old in names.items():
        for kind in ("weight", "bias"):
            state[f"{new}.{kind}"] = weights[f"{old}.{kind}"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    fresh = ("joint.", "classify", "scale", "bias", "danger")
    assert not unexpected and all(name.startswith(fresh) for name in missing), (missing, unexpected)
    return model
