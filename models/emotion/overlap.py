"""No case of `behaviour.jsonl` may stand, or nearly stand, in `written.tsv`: `python overlap.py` lists those that do. (What is near
the repository's other test sets is left out when the training set is read: `data.own_examples`.)

Two texts are near duplicates when, in lower case and without punctuation, their sets of words have a Jaccard similarity of
0.6 or more, or their sets of character trigrams 0.6 or more (which sees through typing errors).
"""

import itertools
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 0.6


def words(text: str) -> frozenset[str]:
    return frozenset(re.sub(r"[^\w\s]", "", text.lower().replace("’", "'")).split()) or frozenset([text.strip()])


def trigrams(text: str) -> frozenset[str]:
    letters = " ".join(re.sub(r"[^a-z0-9 ]", "", text.lower()).split())
    plain = f"  {letters or text} "
    return frozenset(plain[i:i + 3] for i in range(len(plain) - 2))


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / max(1, len(a | b))


def near_duplicates(tests: list[str], training: list[str]) -> list[tuple[str, str]]:
    """Pairs of (test, training) that are too alike."""
    known = [(text, words(text), trigrams(text)) for text in training]
    wanted = [(test, words(test), trigrams(test)) for test in tests]
    return [(test, text) for test, a, b in wanted for text, c, d in known if near(a, c) or near(b, d)]


def near(a: frozenset, b: frozenset) -> bool:
    """Sets of too different sizes need no counting: all that is trained on against all tests are fifteen million pairs."""
    few, many = sorted((len(a), len(b)))
    return few >= LIMIT * many and jaccard(a, b) >= LIMIT


def texts(name: str) -> list[str]:
    return [json.loads(line)["text"] for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def filled(text: str, fillers: dict[str, list[str]]) -> list[str]:
    """Every text that a text with {slots} can become."""
    names = re.findall(r"{(\w+)}", text)
    return [text.format_map(dict(zip(names, choice))) for choice in itertools.product(*(fillers[name] for name in names))]


def written() -> list[str]:
    """Every text that a written example can become."""
    lines = (HERE / "written.tsv").read_text(encoding="utf-8").splitlines()
    return [full for line in lines for full in filled(line.partition("\t")[2], slots())]


def slots() -> dict[str, list[str]]:
    """What the {braces} of written examples are filled with."""
    return json.loads((HERE / "slots.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    pairs = near_duplicates(texts("behaviour.jsonl"), written())
    for test, text in pairs:
        print(f"{test!r} is too close to {text!r}")
    sys.exit(1 if pairs else 0)
