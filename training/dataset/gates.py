"""Quality gates for a set written for training: each is a measure with a limit, and fails by name.

The limits are where a set begins to teach a small model bad habits: the same words again, the assistant's tone, lectures."""

import re
from collections import Counter

from . import separate
from .near import pairs, words

CLICHES = """as an ai|i'm here to help|i'm here for you|feel free|sorry to hear that|that sounds|it's understandable|it's okay to|
how does that make you feel|your feelings are valid|safe space|reach out|journey|absolutely|great question|i understand how|tell me more|
sending hugs|you've got this|take care of yourself|everything happens for a reason|how can i (help|assist)"""
CLICHE = re.compile(r"\b(" + "".join(CLICHES.split("\n")) + r")\b", re.I)
PRIVATE = {
    "e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+\.\w+"),
    "link": re.compile(r"https?://|www\.\w"),
    # Helplines are three digits, or well known: 116 123 (Samaritans), 741741 (Crisis Text Line), 1-800-273-8255.
    "phone number": re.compile(r"(?<![\d.,])\+?\d(?:[ ./-]?\d){8,}"),
    "card or account": re.compile(r"\b[A-Z]{2}\d{2}(?: ?\w{4}){3,}\b|\b(?:\d{4}[ -]){3}\d{4}\b"),
    "street address": re.compile(r"\b\d{1,4} [A-Z][a-z]+ (Street|Avenue|Road|Lane|Boulevard)\b"),
}


def distinct(texts: list, size: int = 2) -> float:
    """Distinct-n: the share of word pairs that are not repeats. Over 2,000 words at a time, as it falls with length."""
    tokens = [token for text in texts for token in words(text)]
    shares = []
    for start in range(0, len(tokens), 2000):
        part = tokens[start : start + 2000]
        grams = [tuple(part[i : i + size]) for i in range(len(part) - size + 1)]
        if len(part) == 2000 or start == 0:
            shares.append(len(set(grams)) / max(1, len(grams)))
    return sum(shares) / max(1, len(shares))


def commonest(texts: list, ends: bool = False, size: int = 3) -> float:
    """Share of the texts that begin (or end) with the commonest three words."""
    keys = [tuple(words(text)[-size:] if ends else words(text)[:size]) for text in texts]
    return Counter(keys).most_common(1)[0][1] / len(keys) if keys else 0.0


def syllables(word: str) -> int:
    return max(1, len(re.findall(r"[aeiouy]+", word.lower().removesuffix("e"))))


def reading_level(texts: list) -> float:
    """Flesch-Kincaid grade: years of school that reading takes."""
    tokens = [token for text in texts for token in words(text)]
    sentences = sum(max(1, len(re.findall(r"[.!?…]+", text))) for text in texts)
    return 0.39 * len(tokens) / max(1, sentences) + 11.8 * sum(map(syllables, tokens)) / max(1, len(tokens)) - 15.59


def private(texts: list) -> list:
    return [f"{kind}: {found[0]}" for text in texts for kind, pattern in PRIVATE.items() if (found := pattern.search(text))]


def run(dialogues: list, overlap, least: int = 800, least_turns: int = 4) -> list:
    """(gate, figure, what is asked, passed) for each."""
    replies = [text for d in dialogues for text in d.texts("friend")]
    everything = [text for d in dialogues for _, text, _ in d.turns]
    lengths = [len(words(reply)) for reply in replies]
    # By place, as two files in the text form may give the same id.
    near = pairs({f"{place}:{d.id}": " ".join(text for _, text, _ in d.turns) for place, d in enumerate(dialogues)}, 0.5)
    same_replies = sum(count - 1 for count in Counter(" ".join(words(reply)) for reply in replies).values())
    spread = (sum((n - sum(lengths) / len(lengths)) ** 2 for n in lengths) / len(lengths)) ** 0.5
    cliches = [found[0] for reply in replies if (found := CLICHE.search(reply.replace("’", "'")))]
    touching = [d.id for d in dialogues if overlap.of(d)]
    inside = sum(8 <= n <= 40 for n in lengths) / len(lengths)
    questions = sum("?" in reply for reply in replies) / len(replies)
    turns = Counter(len(d.turns) for d in dialogues)
    modes, halves = separate.modes(dialogues), separate.halves(dialogues)
    gates = [
        ("dialogues", len(dialogues), f"at least {least}", len(dialogues) >= least),
        (f"{least_turns} to 12 turns", f"{min(turns)} to {max(turns)}", "all", min(turns) >= least_turns and max(turns) <= 12),
        ("near-duplicate dialogues", len(near), "0", not near),
        ("replies said twice", same_replies, "at most 0.5%", same_replies <= 0.005 * len(replies)),
        ("distinct-2 of replies", f"{distinct(replies):.3f}", "at least 0.75", distinct(replies) >= 0.75),
        ("commonest beginning of a reply", f"{commonest(replies):.2%}", "at most 1%", commonest(replies) <= 0.01),
        ("commonest first words of a talk", f"{commonest([d.turns[0][1] for d in dialogues]):.2%}", "at most 2%", commonest([d.turns[0][1] for d in dialogues]) <= 0.02),
        ("commonest last words of a talk", f"{commonest([d.turns[-1][1] for d in dialogues], True):.2%}", "at most 1%", commonest([d.turns[-1][1] for d in dialogues], True) <= 0.01),
        ("replies of 8 to 40 words", f"{inside:.1%}", "at least 90%", inside >= 0.9),
        ("spread of reply lengths", f"{spread:.1f} words", "at least 4.0", spread >= 4.0),
        ("replies with a question", f"{questions:.1%}", "35% to 55%", 0.35 <= questions <= 0.55),
        ("reading level of replies", f"grade {reading_level(replies):.1f}", "at most 6", reading_level(replies) <= 6),
        ("assistant clichés", len(cliches), "0", not cliches),
        ("private data", len(private(everything)), "0", not private(everything)),
        ("dialogues in an evaluation set", len(touching), "0", not touching),
        ("modes told apart", f"{modes:.2f} of dialogues", "at least 0.60 (chance: 0.25)", modes >= 0.60),
        ("random halves told apart", f"{halves:.2f}", "0.40 to 0.60 (chance: 0.50)", 0.40 <= halves <= 0.60),
    ]
    return gates


def show(gates: list) -> str:
    return "\n".join(f"{'ok  ' if passed else 'FAIL'} {name:<32} {figure} (asked: {asked})" for name, figure, asked, passed in gates)
