"""The tokenizer that ships with the scorer: MiniLM's WordPiece, taught to read emoji.

BERT's uncased vocabulary knows no emoji, so "today was 😭" reads as "today was [UNK]", and an emoji glued to a word
("happy😊") turns the *whole word* into [UNK]. The vocabulary has 994 slots that were never trained ("[unused0]" …).
We rename such slots to emoji, twice each (as a word, and as the continuation "##😊"), and give their embedding rows the
mean of the embeddings of a few words that describe them (`emoji.tsv`). The file format, the ids of all other pieces and
the cost at run time stay exactly as they were, in every implementation of `tokenizer.json`.
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

HERE = Path(__file__).parent
MAX_LENGTH = 128
"""Pieces a message is cut to, [CLS] and [SEP] included: the *first* 126 pieces are kept."""


def read_emoji(path: Path = HERE / "emoji.tsv") -> list[tuple[str, str, str]]:
    """Rows of (emoji, describing words, label that it usually goes with or "-")."""
    rows = [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(len(row) == 3 for row in rows), f"{path}: every line needs three tab-separated columns"
    return rows


def build_tokenizer(base: Path) -> Tokenizer:
    """MiniLM's tokenizer without its padding to a fixed 128, cut at `MAX_LENGTH`, with emoji in the unused slots."""
    spec = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    vocab: dict[str, int] = spec["model"]["vocab"]
    unused = sorted((piece for piece in vocab if piece.startswith("[unused")), key=vocab.__getitem__)
    slots = iter(unused)
    for emoji, _, _ in read_emoji():
        for piece in (emoji, "##" + emoji):
            if piece not in vocab:
                vocab[piece] = vocab.pop(next(slots))
    spec["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    tokenizer = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return tokenizer


def write_emoji_rows(embeddings: torch.Tensor, base: Path, tokenizer: Tokenizer) -> None:
    """Fill, in place, the rows of `embeddings` [vocabulary, hidden] that now stand for emoji.

    The mean of several rows is shorter than a row, so it is scaled back to their mean length. Marks without a meaning of
    their own (skin tones) get the mean of the whole vocabulary, which says next to nothing.
    """
    plain = Tokenizer.from_file(str(base / "tokenizer.json"))
    plain.no_padding()
    nothing = embeddings[1000:].mean(dim=0)
    with torch.no_grad():
        for emoji, words, _ in read_emoji():
            row = nothing
            if words:
                parts = embeddings[plain.encode(words, add_special_tokens=False).ids]
                row = parts.mean(dim=0)
                row = row * parts.norm(dim=1).mean() / row.norm()
            for piece in (emoji, "##" + emoji):
                embeddings[tokenizer.token_to_id(piece)] = row
