"""What is held out: a tenth of the subjects, by a hash, so that a dialogue never changes sides when others come or go, and no
subject is on both. Topics name single dialogues ("moving-to-sea", "moving-to-the-sea"), so a subject is their first two words."""

import hashlib
import re

from .problem import Problem

# Words in topics that tell nothing about the subject.
IDLE = {"a", "an", "the", "my", "of", "to", "in", "on", "at", "plain", "mem"}


def subject(topic: str) -> str:
    """The first two telling words of a topic, the plural's s aside."""
    words = re.findall(r"\w+", topic.lower().replace("_", "-"))
    telling = [word for word in words if word not in IDLE] or words
    return "-".join(word.rstrip("s") if len(word) > 3 else word for word in telling[:2])


def held_out(topic: str, tenths: int = 1) -> bool:
    return int.from_bytes(hashlib.sha256(subject(topic).encode()).digest()[:4], "big") % 10 < tenths


def split(dialogues: list) -> tuple:
    """(to train on, held out)."""
    train = [d for d in dialogues if not held_out(d.topic)]
    if dialogues and not train:
        raise Problem(f"all {len(dialogues)} dialogues are held out, as they are of one subject (`{subject(dialogues[0].topic)}`)",
                      "Name their topics more exactly: a tenth of the subjects, the first two words of a topic, is held out.")
    return train, [d for d in dialogues if held_out(d.topic)]
