"""Messages that speak of suicide or self-harm: the sets written for it, and what is counted over them.

`danger/{train,dev,test}.tsv` hold `label<TAB>message`, each file by other writers. Everything else that is trained on counts as
`nobody`, unless one of `SUSPECT`'s words stands in it: no one has read those messages for danger, so nothing is learnt from them.
"""

import re

import numpy as np

import overlap
from data import HERE, LABELS, Example, soft
from dataset.problem import Problem

CLASSES = ("nobody", "themselves", "someone_else")
UNREAD = -1
SUSPECT = re.compile(
    r"\b(kill\w*|kms|kys|suicid\w*|unaliv\w*|di(e|ed|es)|dying|dead|death|hang(ing|ed)? (my|him|her|them)sel\w+|(hurt|harm)(ing|s)? (my|him|her)self|"
    r"self.?harm\w*|cut(s|ting)?|slit\w*|wrists?|razors?|blades?|noose|overdos\w*|pills?|jump\w*|bridge|wak(e|ing) up|alive|exist\w*|liv(e|ing)|my life|"
    r"born|end it|end(ing)? (my|her|his|everything|all)|be (here|gone|around)|wasn'?t here|if i'?m gone|disappear\w*|vanish\w*|goodbye|burden|better off|"
    r"no (point|reason|way out|will)|(can'?t|cannot) (do|take|go on)|give up|giving up|tired of (life|living|everything)|worthless|miss me|without me)\b",
    re.IGNORECASE)


def rows(part: str) -> list[Example]:
    """`train`, `dev` or `test`. Who speaks of their own danger is sad; how the others feel was not asked."""
    path = HERE / "danger" / f"{part}.tsv"
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label, tab, text = line.partition("\t")
        if not tab or label not in CLASSES or not text.strip():
            raise Problem(f"{path}:{number} is no label and message", f"Labels are {', '.join(CLASSES)}; a tab stands behind them.",
                          "Mend the line.")
        own = label == "themselves"
        examples.append(Example(text, soft(["sadness"] if own else list(LABELS)), None, "danger", 0.5 if own else 0.0,
                                CLASSES.index(label)))
    return examples


def training_rows() -> list[Example]:
    """Those of `train` that do not nearly stand in `dev`, `test` or another test of the repository."""
    tests = [row.text for part in ("dev", "test") for row in rows(part)] + overlap.texts("behaviour.jsonl")
    train = rows("train")
    near = {text for _, text in overlap.near_duplicates(tests, [row.text for row in train])}
    return [row for row in train if row.text not in near]


def without_danger(examples: list[Example]) -> list[Example]:
    """Marks messages of the other corpora: nobody's danger, or unread."""
    for row in examples:
        row.danger = UNREAD if SUSPECT.search(row.text) else CLASSES.index("nobody")
    return examples


def alarms(logits: np.ndarray) -> np.ndarray:
    """Log-odds of danger against none, [n], for logits [n, 3]."""
    return np.logaddexp(logits[:, 1], logits[:, 2]) - logits[:, 0]


def heard(logits: np.ndarray) -> np.ndarray:
    """Index into `CLASSES` for each row, as the bot decides: whose danger is likelier, where the two together are likelier than none."""
    return np.where(alarms(logits) > 0.0, 1 + logits[:, 1:].argmax(1), 0)


def summarize(found: np.ndarray, gold: np.ndarray) -> dict:
    """What is heard of each class, [n] indices into `CLASSES`: any danger, and whose."""
    return {name: {"rows": int((gold == i).sum()), "danger": float((found[gold == i] > 0).mean()),
                   "right": float((found[gold == i] == i).mean())}
            for i, name in enumerate(CLASSES) if (gold == i).any()}
