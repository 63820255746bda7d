"""EmpatheticDialogues and DailyDialog without the reference's faults: test stays apart, what also stands in validation or
test leaves training, every dialogue has its mode, negative feelings are kept, and only the friend's turns will be learnt."""

import re
from collections import Counter
from pathlib import Path

from .near import plain
from .reference import raw
from .store import LONGEST_TEXT, Dialogue

LICENCE = "EmpatheticDialogues, CC BY-NC 4.0; DailyDialog, CC BY-NC-SA 4.0"
# How `build` names a dialogue, by which its origin is known later.
NAME = re.compile(r"(ed|dd)-(train|validation|test)-\d+")
# EmpatheticDialogues' 32 contexts, as the emotions that the bot's scorer knows.
CONTEXT_EMOTIONS = {
    "anger": "angry annoyed furious jealous",
    "disgust": "disgusted",
    "fear": "afraid anxious apprehensive terrified",
    "joy": "confident content excited faithful grateful hopeful joyful proud trusting caring impressed",
    "neutral": "anticipating prepared",
    "sadness": "ashamed devastated disappointed embarrassed guilty lonely nostalgic sad sentimental",
    "surprise": "surprised",
}
EMOTION_OF_CONTEXT = {context: emotion for emotion, contexts in CONTEXT_EMOTIONS.items() for context in contexts.split()}
DAILY = dict(zip("0123456", ("neutral", "anger", "disgust", "fear", "joy", "sadness", "surprise")))
NEGATIVE, POSITIVE = {"anger", "disgust", "fear", "sadness"}, {"joy", "surprise"}


def mode_of(emotions: list) -> str:
    """The mode for what the person mostly feels; a negative feeling wins, as in the bot's rules."""
    felt = Counter(emotion for emotion in emotions if emotion != "neutral")
    if any(emotion in NEGATIVE for emotion in felt):
        return "FIX"
    return "WARM" if felt and sum(felt[e] for e in POSITIVE) * 2 >= len(emotions) else "GENERAL"


def dialogue(name: str, said: list, emotions: list) -> Dialogue | None:
    """A dialogue that ends with the friend, or None where nothing is left."""
    said = said[: len(said) // 2 * 2]
    if len(said) < 2 or any(not text or len(text) > LONGEST_TEXT for text in said):
        return None
    turns = [(("person", "friend")[i % 2], text.replace("{", "(").replace("}", ")"), None if i % 2 else emotions[i]) for i, text in enumerate(said)]
    return Dialogue(name, mode_of([emotion for _, _, emotion in turns if emotion]), name, "any", [], turns)


def is_own(dialogue: Dialogue) -> bool:
    """Whether a dialogue comes from here, and so is under LICENCE."""
    return bool(NAME.fullmatch(dialogue.id))


def build(folder: Path) -> tuple:
    """({part: dialogues}, how many left training because they stand in validation or test)."""
    parts = {}
    for part in ("train", "validation", "test"):
        first, second = raw(folder, part)
        made = [dialogue(f"ed-{part}-{i}", said, [EMOTION_OF_CONTEXT.get(context, "neutral")] * len(said)) for i, (context, said) in enumerate(first)]
        made += [dialogue(f"dd-{part}-{i}", said, [DAILY.get(mark, "neutral") for mark in marks]) for i, (marks, said) in enumerate(second)]
        parts[part] = [d for d in made if d]
    seen, left = set(), 0
    for part in ("test", "validation", "train"):
        kept = []
        for d in parts[part]:
            # The first words alone are often the same by chance ("hi"); the first three turns are not.
            key = plain(" ".join(text for _, text, _ in d.turns[:3]))
            if part != "test" and key in seen:
                left += 1
                continue
            kept.append((d, key))
        seen.update(key for _, key in kept)
        parts[part] = [d for d, _ in kept]
    return parts, left
