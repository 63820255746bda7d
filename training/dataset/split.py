"""What is held out: a tenth of the topics, by a hash of the topic's name, so that a dialogue never changes sides when
others come or go, and no topic is on both."""

import hashlib


def held_out(topic: str, tenths: int = 1) -> bool:
    return int.from_bytes(hashlib.sha256(topic.encode()).digest()[:4], "big") % 10 < tenths


def split(dialogues: list) -> tuple:
    """(to train on, held out)."""
    return [d for d in dialogues if not held_out(d.topic)], [d for d in dialogues if held_out(d.topic)]
