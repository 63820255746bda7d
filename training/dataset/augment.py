"""Short talks made from templates, marked as augmentation: who the friend is, what stands in the memory, what was said
before. The written dialogues show how a friend talks; these show, with values that change each time, *where to look*: a small
model otherwise learns one persona by heart and ignores what the prompt tells it."""

import random
import tomllib
from pathlib import Path

from .personas import Personas, with_article
from .store import Dialogue

LISTS = tomllib.loads((Path(__file__).parent / "augment.toml").read_text(encoding="utf-8"))
# How often the friend asks something back after an identity answer.
ASKS_BACK = 0.4


def pick(rng: random.Random, name: str):
    return rng.choice(LISTS[name])


def identity_pair(rng: random.Random, fact: str) -> tuple:
    """A question for one fact, and its answer; the placeholders stay in, to be filled with the dialogue's persona."""
    question, answer = rng.choice(LISTS["identity"][fact]["asked"]), rng.choice(LISTS["identity"][fact]["answers"])
    if rng.random() < ASKS_BACK and "?" not in answer:
        answer += " " + rng.choice(LISTS["identity"][fact]["back"])
    return question, answer


class Fact:
    """One thing about the person: how memory holds it, how they say it, ask for it, and how the friend answers."""

    def __init__(self, rng: random.Random, kind: str):
        form = LISTS["fact"][kind]
        value = rng.choice(LISTS["values"][form["values"]])
        self.kind, words = kind, {"v": value, "a_v": with_article(value)}
        draw = lambda name: rng.choice(form[name]).format(**words)
        self.memory, self.said, self.asked, self.answer = draw("memory"), draw("said"), draw("asked"), draw("answers")
        self.reaction, self.unknown = draw("reactions"), rng.choice(LISTS["unknown"]).format(thing=form["thing"])


def facts(rng: random.Random, count: int) -> list:
    return [Fact(rng, kind) for kind in rng.sample(sorted(LISTS["fact"]), count)]


def messy(rng: random.Random, text: str) -> str:
    """As people type: mostly lower case, sometimes without the question mark, sometimes u for you."""
    if rng.random() < 0.75:
        text = text.lower()
    if rng.random() < 0.5:
        text = text.rstrip("?.")
    for long, short in (("you", "u"), ("your", "ur"), ("are", "r"), ("what is", "whats")):
        if rng.random() < 0.3:
            text = " ".join(short if word == long else word for word in text.split(" ")) if " " not in long else text.replace(long, short)
    return text


def opening(rng: random.Random, written: list, turns: int) -> list:
    """The first turns of a written dialogue, to ask something after them; none of grief, where it would be rude."""
    usable = [d for d in written if len(d.turns) > turns and not d.memory and d.persona == "any" and d.mode != "FIX"]
    return list(rng.choice(usable).turns[:turns]) if usable and turns else []


def talk(rng: random.Random, number: int, kind: str, memory: list, pairs: list) -> Dialogue:
    turns = []
    for who, text, *_ in pairs:
        turns.append(("person", messy(rng, text), None) if who == "asked" else (who, text[0].upper() + text[1:], None))
    mode = "GENERAL" if rng.random() < 0.6 else rng.choice(("WARM", "FLIRT", "FIX"))
    return Dialogue(f"augmented-{kind}-{number}", mode, f"augmented-{kind}", "any", memory, turns)


def identity(rng: random.Random, written: list, number: int) -> Dialogue:
    """Two or three questions about the friend in any order, sometimes after some other talk."""
    asked = rng.sample(("name", "job", "city", "age", "who", "bot"), rng.choice((2, 2, 3)))
    pairs = opening(rng, written, rng.choice((0, 0, 0, 2)))
    for fact in asked:
        question, answer = identity_pair(rng, fact)
        pairs += [("asked", question), ("friend", answer)]
    return talk(rng, number, "identity", [remember.memory for remember in facts(rng, rng.choice((0, 0, 1)))], pairs)


def memory(rng: random.Random, written: list, number: int) -> Dialogue:
    """Questions that only the prompt's memory answers; in one of eight, one that it does not answer."""
    known = facts(rng, rng.choice((1, 2, 3, 4)))
    asked = rng.sample(known, min(len(known), rng.choice((1, 2))))
    pairs = opening(rng, written, rng.choice((0, 0, 0, 2)))
    for fact in asked:
        pairs += [("asked", fact.asked), ("friend", fact.answer)]
    if rng.random() < 0.125:
        strange = next(fact for fact in facts(rng, len(known) + 1) if fact.kind not in {k.kind for k in known})
        pairs += [("asked", strange.asked), ("friend", strange.unknown)]
    told = [fact.memory for fact in known]
    return talk(rng, number, "memory", told, pairs)


def recall(rng: random.Random, written: list, number: int) -> Dialogue:
    """Something the person says, some other talk, and the question for it."""
    said = facts(rng, rng.choice((1, 1, 2)))
    pairs = []
    for fact in said:
        pairs += [("asked", fact.said), ("friend", fact.reaction)]
    pairs += opening(rng, written, rng.choice((0, 2, 2, 4)))
    for fact in rng.sample(said, len(said)):
        pairs += [("asked", fact.asked), ("friend", fact.answer)]
    return talk(rng, number, "recall", [], pairs)


KINDS = {"identity": identity, "memory": memory, "recall": recall}


def make(rng: random.Random, written: list, counts: dict, overlap=None) -> list:
    """So many talks of each kind; those that touch an evaluation set are drawn again."""
    made = []
    for kind, count in counts.items():
        number = 0
        for _ in range(20 * count):
            if number == count:
                break
            dialogue = KINDS[kind](rng, written, number)
            if overlap is None or not overlap.of(dialogue):
                made.append(dialogue)
                number += 1
    return made


def fill(dialogue: Dialogue, rng: random.Random, personas: Personas, arthur: float) -> tuple:
    """(intro, dialogue with its placeholders filled)."""
    if dialogue.intro:
        return dialogue.intro, dialogue
    who = personas.arthur if dialogue.persona == "arthur" else personas.draw(rng, arthur)
    turns = [(speaker, who.fill(text), emotion) for speaker, text, emotion in dialogue.turns]
    return who.intro, Dialogue(dialogue.id, dialogue.mode, dialogue.topic, dialogue.persona, dialogue.memory, turns)
