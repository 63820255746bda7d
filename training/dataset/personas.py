"""Personas to fill `any` dialogues with: the shipped Arthur, or one drawn from personas.toml."""

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .prompts import shipped_persona


@dataclass(frozen=True)
class Persona:
    """What the placeholders of a dialogue stand for, and how the prompt begins."""

    name: str
    age: int
    job: str
    city: str
    intro: str

    def fill(self, text: str) -> str:
        values = {"name": self.name, "age": str(self.age), "job": self.job, "a_job": with_article(self.job), "city": self.city}
        at_start = re.match(r"\{(a_)?job\}", text)
        text = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text)
        return text[0].upper() + text[1:] if at_start else text


def with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeio' or noun.startswith('up') else 'a'} {noun}"


class Personas:
    """The lists, read once."""

    def __init__(self):
        lists = tomllib.loads((Path(__file__).parent / "personas.toml").read_text(encoding="utf-8"))
        entries = lambda name: [" ".join(entry.split()) for entry in lists[name].split(";")]
        self.women, self.men = lists["women"].split(), lists["men"].split()
        self.jobs, self.cities, self.adjectives = entries("jobs"), entries("cities"), entries("adjectives")
        self.intros = lists["intros"]
        self.arthur = Persona("Arthur", 20, "designer", "San Francisco", shipped_persona()["intro"])

    def draw(self, rng: random.Random, arthur: float) -> Persona:
        """Arthur with this probability, else anybody."""
        return self.arthur if rng.random() < arthur else self.anybody(rng)

    def anybody(self, rng: random.Random) -> Persona:
        woman = rng.random() < 0.5
        name = rng.choice(self.women if woman else self.men)
        age, job, city = rng.randint(18, 79), rng.choice(self.jobs), rng.choice(self.cities)
        # The shipped form as often as all others together.
        form = self.intros[0] if rng.random() < 0.5 else rng.choice(self.intros[1:])
        man = ("woman" if woman else "man") if age > 26 or rng.random() < 0.4 else ("young woman" if woman else "young man")
        adjective = rng.choice(self.adjectives)
        words = {"name": name, "age": age, "job": job, "a_job": with_article(job), "city": city, "man": man}
        words |= {"adjective": adjective, "a_adjective": with_article(adjective)}
        return Persona(name, age, job, city, form.format(**words))
