"""The blind sheet: a page of pairs that says nothing of the arms, and the key that does."""

import hashlib
import random
from html import escape
from pathlib import Path

from dataset.problem import Problem

from .transcripts import Talk

TEMPLATE = Path(__file__).with_name("sheet.html")


def blind(pairs: list, count: int, seed: int) -> tuple:
    """(page, key) of a sample of pairs whose texts differ; which side is the contender's is drawn for each pair."""
    different = [pair for pair in pairs if pair.contender != pair.reference]
    if not 1 <= count <= len(different):
        raise Problem(f"{count} pairs are wanted, and there are {len(different)} that differ", "Give another number with --pairs.")
    rng = random.Random(seed)
    drawn = [(pair, rng.random() < 0.5) for pair in rng.sample(different, count)]
    shown = [(pair.contender, pair.reference) if left else (pair.reference, pair.contender) for pair, left in drawn]
    body = "\n".join(section(number, count, sides) for number, sides in enumerate(shown, 1))
    # Of what is shown only, so that it tells nothing of the arms.
    sheet = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    sides = {str(n): {"talk": pair.name, "contender": "left" if left else "right"} for n, (pair, left) in enumerate(drawn, 1)}
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace("%SHEET%", sheet).replace("%PAIRS%", body), {"sheet": sheet, "pairs": sides}


def section(number: int, count: int, sides: tuple) -> str:
    """One pair; numbers stand for it, as its name could tell which talk it was."""
    columns = "".join(column(number, place, talk) for place, talk in zip(("First", "Second"), sides))
    return (f'<section data-pair="{number}" aria-labelledby="pair-{number}" hidden>\n'
            f'<h2 id="pair-{number}" tabindex="-1">Pair {number} of {count}</h2>\n<div class="sides">\n{columns}</div>\n</section>')


def column(number: int, place: str, talk: Talk) -> str:
    turns = zip(talk.said, talk.replies)
    lines = "".join(bubble("person", "Person", said) + bubble("friend", "Friend", reply) for said, reply in turns)
    name = f"{place.lower()}-{number}"
    return f'<article class="side" aria-labelledby="{name}">\n<h3 id="{name}">{place} friend</h3>\n<ol>\n{lines}</ol>\n</article>\n'


def bubble(kind: str, who: str, text: str) -> str:
    return f'<li class="{kind}"><span class="label">{who}: </span>{escape(text)}</li>\n'
