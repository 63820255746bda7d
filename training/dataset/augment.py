"""Short talks made from templates, marked as augmentation: who the friend is, what stands in the memory, what was said
before, comfort for what hurts, joy over good news. The written dialogues show how a friend talks; these show, with values that
change each time, *where to look*: a small model otherwise learns one persona by heart and ignores what the prompt tells it."""

import random
import re
import tomllib
from pathlib import Path

from .personas import Personas, with_article
from .store import Dialogue

LISTS = tomllib.loads((Path(__file__).parent / "augment.toml").read_text(encoding="utf-8"))
# How often the friend asks something back after an identity answer.
ASKS_BACK = 0.4
# Arthur's facts are learned soon; copying a stranger's from the prompt needs the practice.
ARTHUR_IN_IDENTITY = 0.25
# What is asked about the friend, and how often against the others: a stranger's job comes hardest. With more about being a bot,
# "what are you by trade" is answered with "I'm a bot" too.
TOPICS = {"job": 5, "bot": 2, "name": 3, "city": 3, "age": 3, "who": 1}
# The forms of a topic. `…_told` ones say the person's own first, so that it isn't echoed as the friend's.
FORMS = {
    "job": ("job", "job", "job_told"),
    "bot": ("bot", "human", "either"),
    "name": ("name", "name", "name_told"),
    "city": ("city", "city", "city_told"),
    "age": ("age", "age", "age_told"),
    "who": ("who",),
}
MODES = ("GENERAL",) * 9 + ("WARM", "FLIRT", "FIX") * 2
# The bot answers sadness in FIX, where it notices it.
COMFORT_MODES = ("FIX",) * 4 + ("GENERAL", "WARM")
# And joy in WARM.
JOY_MODES = ("WARM",) * 4 + ("GENERAL",) * 2


def put(text: str, value: str | None) -> str:
    """The value in; the persona's placeholders stay, to be filled with the dialogue's persona."""
    return text if value is None else text.replace("{a_v}", with_article(value)).replace("{v}", value)


def value_of(rng: random.Random, form: dict) -> str | None:
    return rng.choice(LISTS["values"][form["values"]]) if "values" in form else None


def identity_pair(rng: random.Random, topic: str) -> tuple:
    """A question about the friend, and its answer."""
    form = LISTS["identity"][rng.choice(FORMS[topic])]
    value = value_of(rng, form)
    question, answer = rng.choice(form["asked"]), rng.choice(form["answers"])
    if rng.random() < ASKS_BACK and "?" not in answer:
        answer += " " + rng.choice(form["back"])
    return put(question, value), put(answer, value)


class Fact:
    """One thing about the person: how memory holds it, how they say it, ask for it, and how the friend answers."""

    def __init__(self, rng: random.Random, kind: str):
        form = LISTS["fact"][kind]
        value = value_of(rng, form)
        draw = lambda name: put(rng.choice(form[name]), value)
        self.kind = kind
        self.memory, self.said, self.asked, self.answer = draw("memory"), draw("said"), draw("asked"), draw("answers")
        self.reaction, self.unknown = draw("reactions"), rng.choice(LISTS["unknown"]).format(thing=form["thing"])


def facts(rng: random.Random, count: int) -> list:
    return [Fact(rng, kind) for kind in rng.sample(sorted(LISTS["fact"]), count)]


def messy(rng: random.Random, text: str) -> str:
    """As people type: mostly lower case, sometimes without the question mark or apostrophes, u for you, and mistyped."""
    if rng.random() < 0.75:
        text = text.lower()
    if rng.random() < 0.5:
        text = text.rstrip("?.")
    if rng.random() < 0.4:
        text = text.replace("'", "")
    for long, short in (("what is", "whats"), ("you", "u"), ("your", "ur"), ("are", "r")):
        if rng.random() < 0.3:
            text = re.sub(rf"\b{long}\b(?!')", short, text)
    if rng.random() < 0.15:
        right, wrong = rng.choice(LISTS["typed"])
        text = re.sub(rf"\b{right}\b", wrong, text, count=1)
    return text


def opening(rng: random.Random, written: list, turns: int) -> list:
    """The first turns of a written dialogue, to ask something after them; none of grief, where it would be rude."""
    usable = [d for d in written if len(d.turns) > turns and not d.memory and d.persona == "any" and d.mode != "FIX"]
    return list(rng.choice(usable).turns[:turns]) if usable and turns else []


def talk(rng: random.Random, number: int, kind: str, memory: list, pairs: list, modes: tuple = MODES) -> Dialogue:
    turns = []
    for who, text, *_ in pairs:
        if who == "asked":
            turns.append(("person", messy(rng, text), None))
        else:
            turns.append((who, text[0].upper() + text[1:] if who == "friend" else text, None))
    return Dialogue(f"augmented-{kind}-{number}", rng.choice(modes), f"augmented-{kind}", "any", memory, turns)


def topics(rng: random.Random, count: int, weights: dict) -> list:
    """So many different ones, drawn by their weights."""
    left = [topic for topic, weight in weights.items() for _ in range(weight)]
    chosen = []
    for _ in range(min(count, len(weights))):
        chosen.append(rng.choice(left))
        left = [topic for topic in left if topic != chosen[-1]]
    return chosen


def identity(rng: random.Random, written: list, number: int, weights: dict = TOPICS) -> Dialogue:
    """One to three questions about the friend in any order, sometimes after some other talk."""
    pairs = opening(rng, written, rng.choice((0, 0, 0, 2)))
    for topic in topics(rng, rng.choice((1, 2, 2, 3)), weights):
        question, answer = identity_pair(rng, topic)
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


def felt(rng: random.Random, number: int, kind: str, modes: tuple) -> Dialogue:
    """Something felt and replies that name it, in 2 to 6 turns. In the lists' order, so that none is left out."""
    form = LISTS[kind][number % len(LISTS[kind])]
    value = value_of(rng, form)
    said = [form]
    if rest := rng.choice((0, 0, 1, 1, 2)):
        said.append(rng.choice(LISTS[f"{kind}_after"]))
        if rest == 2:
            said.append(rng.choice(LISTS[f"{kind}_closing"]))
    pairs = []
    for part in said:
        reply = rng.choice(part["replies"]).replace("{thing}", form["thing"])
        pairs += [("person", put(rng.choice(part["said"]), value)), ("friend", put(reply, value))]
    return talk(rng, number, kind, [], pairs, modes)


def comfort(rng: random.Random, written: list, number: int) -> Dialogue:
    """Something that hurts, and comfort."""
    return felt(rng, number, "comfort", COMFORT_MODES)


def joy(rng: random.Random, written: list, number: int) -> Dialogue:
    """Good news, and a friend who rejoices."""
    return felt(rng, number, "joy", JOY_MODES)


KINDS = {"identity": identity, "memory": memory, "recall": recall, "comfort": comfort, "joy": joy}


def make(rng: random.Random, written: list, counts: dict, overlap=None, weights: dict = TOPICS) -> list:
    """So many talks of each kind, those about the friend by the weights of their topics; what touches an evaluation set is drawn
    again."""
    made = []
    kinds = KINDS | {"identity": lambda *drawn: identity(*drawn, weights)}
    for kind, count in counts.items():
        number = 0
        for _ in range(20 * count):
            if number == count:
                break
            dialogue = kinds[kind](rng, written, number)
            if overlap is None or not overlap.of(dialogue):
                made.append(dialogue)
                number += 1
    return made


def fill(dialogue: Dialogue, rng: random.Random, personas: Personas, arthur: float) -> tuple:
    """(intro, dialogue with its placeholders filled)."""
    if dialogue.intro:
        return dialogue.intro, dialogue
    if dialogue.topic == "augmented-identity":
        arthur = min(arthur, ARTHUR_IN_IDENTITY)
    who = personas.arthur if dialogue.persona == "arthur" else personas.draw(rng, arthur)
    said = " ".join([*dialogue.texts("person"), *dialogue.memory]).lower()
    shared = lambda: any(re.search(rf"\b{re.escape(own.lower())}\b", said) for own in (who.job, who.city))
    # A stranger with the job or the city that the person tells would make "a different world from yours" untrue.
    for _ in range(100):
        if who is personas.arthur or not shared():
            break
        who = personas.anybody(rng)
    turns = [(speaker, who.fill(text), emotion) for speaker, text, emotion in dialogue.turns]
    return who.intro, Dialogue(dialogue.id, dialogue.mode, dialogue.topic, dialogue.persona, dialogue.memory, turns)
