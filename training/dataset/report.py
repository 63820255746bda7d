"""What a dialogue set is like: sizes, lengths, duplicates, language, leaks. Read it before training on it."""

import re
from collections import Counter

from .near import pairs, words

# The commonest words of English chat: a text of some length without any of them is hardly English.
ENGLISH = set("""a about all am an and are as at be been but by can did do for from get go good got had has have he her him his
how i i'm if im in is it it's its just know like me my no not now of oh ok on one or our out she so that the them then there
they this to too u up was we well were what when who why will with yes you your""".split())
# Marks of prompt templates that must never be inside a turn.
TEMPLATE = re.compile(r"<\|[^|]*\|>|### (Instruction|Response|End)|\[/?INST\]|^(Person|You|User|Assistant|Human):", re.M)


def percentile(values: list, share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0


def english(text: str) -> bool:
    tokens = words(text)
    return len(tokens) < 8 or any(token in ENGLISH for token in tokens)


def leaks(train: list, test: list) -> list:
    """(dialogue to train on, held-out dialogue) that are nearly the same."""
    texts = {f"{side}:{place}:{d.id}": " ".join(d.texts("person") + d.texts("friend")) for side, ds in (("train", train), ("test", test)) for place, d in enumerate(ds)}
    return [pair for pair in pairs(texts, 0.6) if pair[0].split(":")[0] != pair[1].split(":")[0]]


def report(dialogues: list, overlap=None) -> str:
    replies = [text for d in dialogues for text in d.texts("friend")]
    lengths = [len(words(text)) for text in replies]
    texts = {f"{i}:{d.id}": " ".join(d.texts("person") + d.texts("friend")) for i, d in enumerate(dialogues)}
    duplicates = pairs(texts, 0.6)
    foreign = [d.id for d in dialogues if not english(" ".join(d.texts("friend")))]
    template = [d.id for d in dialogues if any(TEMPLATE.search(text) for _, text, _ in d.turns)]
    questions = sum("?" in reply for reply in replies)
    lines = [
        f"dialogues           {len(dialogues)}",
        f"by mode             {count(d.mode for d in dialogues)}",
        f"by persona          {count(d.persona for d in dialogues)}",
        f"with memory         {sum(bool(d.memory) for d in dialogues)}",
        f"topics              {len({d.topic for d in dialogues})}",
        f"turns of a dialogue {count(len(d.turns) for d in dialogues)}",
        f"replies             {len(replies)}; with a question {questions / max(1, len(replies)):.0%}",
        f"words of a reply    5% {percentile(lengths, .05)}, half {percentile(lengths, .5)}, 95% {percentile(lengths, .95)}; "
        f"8 to 40 in {sum(8 <= n <= 40 for n in lengths) / max(1, len(lengths)):.0%}",
        f"emotions            {count(emotion for d in dialogues for _, _, emotion in d.turns if emotion)}",
        f"near-duplicates     {named(duplicates, lambda pair: f'{pair[0]} ~ {pair[1]}')}",
        f"hardly English      {named(foreign)}",
        f"template marks      {named(template)}",
    ]
    if overlap:
        touching = [d.id for d in dialogues if overlap.of(d)]
        lines.append(f"in evaluation sets  {named(touching)}")
    return "\n".join(lines)


def count(values) -> str:
    return ", ".join(f"{value} {n}" for value, n in sorted(Counter(values).items()))


def named(found: list, show=str, most: int = 5) -> str:
    names = ", ".join(show(entry) for entry in found[:most])
    return f"{len(found)}" + (f": {names}{' …' if len(found) > most else ''}" if found else "")
