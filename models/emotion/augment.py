"""Forum text made to look like chat: what people drop, squash, mistype and add when they write to a friend.

Every change keeps the label. (Lower case is not among them: the tokenizer is uncased.)
"""

import json
import random
import re

from data import HERE, LABELS, Example
from tokenizer import read_emoji

NAMES = ("sam anna maria tom alex chris kate mike emma leo nina max julia david omar priya ivan lucy ben wei fatima "
         "carlos zoe mom dad he she").split()
SQUASHED = {
    "you": "u", "are": "r", "your": "ur", "you're": "ur", "please": "pls", "because": "cuz", "thanks": "thx",
    "people": "ppl", "really": "rly", "though": "tho", "what": "wat", "okay": "ok", "going to": "gonna",
    "want to": "wanna", "don't know": "dunno", "to be honest": "tbh", "i don't know": "idk", "oh my god": "omg",
    "right now": "rn", "by the way": "btw", "about": "abt", "tomorrow": "tmrw", "tonight": "2nite", "love": "luv",
    "what are you": "wyd", "probably": "prob", "and": "n", "see you": "cya", "with": "w", "nothing": "nothin",
}
OPENERS = ("hey", "so", "well", "hi", "um", "ok so", "yeah", "i mean", "btw", "oh")
SLOTS: dict[str, list[str]] = json.loads((HERE / "slots.json").read_text(encoding="utf-8"))
EMOJI_FOR = {label: [e for e, _, goes_with in read_emoji() if goes_with == label] for label in LABELS}


def chat_style(example: Example, rng: random.Random) -> str:
    """The example's text, perhaps restyled: two in five stay as they are, but for the corpora's masks."""
    text = unmask(fill(example, rng), rng)
    if rng.random() < 0.4:
        return text
    for chance, change in CHANGES:
        if rng.random() < chance:
            text = change(text, rng)
    if rng.random() < 0.12 and example.target.max() == 1.0:
        choices = EMOJI_FOR[LABELS[int(example.target.argmax())]]
        if choices:
            text += rng.choice((" ", "")) + rng.choice(choices) * rng.choice((1, 1, 1, 2, 3))
    return text


def fill(example: Example, rng: random.Random) -> str:
    """A written example's {slots}, filled with words from `slots.json`; other corpora's braces stay."""
    if example.source != "written":
        return example.text
    return re.sub(r"{(\w+)}", lambda match: rng.choice(SLOTS[match[1]]), example.text)


def unmask(text: str, rng: random.Random) -> str:
    """[NAME], [PERSON] → a name, in two of three texts."""
    if "[" not in text or rng.random() < 0.33:
        return text
    return re.sub(r"\[(?:NAME|PERSON)\]", lambda _: rng.choice(NAMES), text)


def drop_last_mark(text: str, _: random.Random) -> str:
    return re.sub(r"[.!?]+\s*$", "", text) or text


def drop_marks(text: str, _: random.Random) -> str:
    return re.sub(r"[.,;:!?]+(?=\s|$)", "", text) or text


def drop_apostrophes(text: str, _: random.Random) -> str:
    return re.sub(r"(\w)['’](\w)", r"\1\2", text)


def squash(text: str, rng: random.Random) -> str:
    def short(match: re.Match) -> str:
        return SQUASHED[match[0].lower()] if rng.random() < 0.5 else match[0]

    return SQUASHED_RE.sub(short, text)


def mistype(text: str, rng: random.Random) -> str:
    """One word of four letters or more loses, doubles or swaps a letter."""
    words = list(re.finditer(r"[a-zA-Z]{4,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2:]


def stretch(text: str, rng: random.Random) -> str:
    """"so happy" → "soooo happy"."""
    words = list(re.finditer(r"\b\w*[aeiouy]\b", text))
    if not words:
        return text
    end = rng.choice(words).end()
    return text[:end] + text[end - 1] * rng.randrange(2, 5) + text[end:]


def open_softly(text: str, rng: random.Random) -> str:
    return rng.choice(OPENERS) + rng.choice((" ", ", ")) + text


SQUASHED_RE = re.compile(r"\b(" + "|".join(sorted(map(re.escape, SQUASHED), key=len, reverse=True)) + r")\b", re.I)
CHANGES = (
    (0.45, drop_last_mark), (0.20, drop_marks), (0.25, drop_apostrophes), (0.20, squash),
    (0.20, mistype), (0.05, stretch), (0.08, open_softly),
)
