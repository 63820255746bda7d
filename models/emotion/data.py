"""The corpora: where they lie, what their labels become, and which rows may be trained on.

`EMOTION_DATA` names a folder with `train/` (licences that let the weights ship) and `eval-only/` (licences that do not;
nothing here is ever fitted on them). The card lists files, sources and commits.
"""

import csv
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
NEGATIVE = ("anger", "disgust", "fear", "sadness")
POSITIVE = ("joy", "surprise")
MODES = ("FIX", "FLIRT", "GENERAL")

GOEMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust "
    "embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness "
    "surprise neutral"
).split()
# The corpus' own Ekman mapping, but for five labels (marked *) that are no reason to flirt or to comfort: under it a plain
# question counts as surprise and "okay, do that" as joy.
REFINED = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "admiration amusement caring excitement gratitude joy love optimism pride relief",
    "neutral": "neutral approval* confusion* curiosity* desire* realization*",
    "sadness": "disappointment embarrassment grief remorse sadness",
    "surprise": "surprise",
}
FINE_TO_LABEL = {fine.rstrip("*"): label for label, names in REFINED.items() for fine in names.split()}
XED = {1: "anger", 3: "disgust", 4: "fear", 5: "joy", 6: "sadness", 7: "surprise", 9: "neutral"}
XED_ANTICIPATION = 2
DAILYDIALOG = ("neutral", "anger", "disgust", "fear", "joy", "sadness", "surprise")


@dataclass
class Example:
    """One message. `target` [7] sums to 1; `fine` [28] holds GoEmotions' own labels where there are any."""

    text: str
    target: np.ndarray
    fine: np.ndarray | None = None
    source: str = ""
    weight: float = 1.0


@dataclass
class TestSet:
    """Held-out messages with one gold label each."""

    name: str
    texts: list[str] = field(default_factory=list)
    gold: list[int] = field(default_factory=list)


def root() -> Path:
    """The folder that `EMOTION_DATA` names; ends the program with advice when there is none."""
    folder = os.environ.get("EMOTION_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit("EMOTION_DATA does not name a folder. The training and test corpora are not part of the repository: "
                 "lay them out as models/emotion/README.md says, then run again with EMOTION_DATA=that/folder.")
    return Path(folder)


def soft(labels: list[str]) -> np.ndarray:
    """Label names, repeats counted, as a distribution over `LABELS`: [joy, joy, neutral] → joy 2/3, neutral 1/3."""
    target = np.zeros(len(LABELS), dtype=np.float32)
    for label in labels:
        target[LABELS.index(label)] += 1.0
    return target / target.sum()


def mode_of_label(label: str) -> str:
    """The mode that a message with this one gold label should get."""
    return "FIX" if label in NEGATIVE else "FLIRT" if label in POSITIVE else "GENERAL"


def goemotions(split: str) -> list[Example]:
    """GoEmotions under the refined mapping, multi-label rows as soft targets."""
    rows = []
    path = root() / "train/goemotions" / f"original.{split}.tsv"
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        text, ids, _ = line.split("\t")
        names = [GOEMOTIONS[int(i)] for i in ids.split(",")]
        fine = np.zeros(len(GOEMOTIONS), dtype=np.float32)
        fine[[GOEMOTIONS.index(name) for name in names]] = 1.0
        rows.append(Example(text.strip(), soft([FINE_TO_LABEL[name] for name in names]), fine, "goemotions"))
    return rows


def detokenize(text: str) -> str:
    """XED's spaced-out punctuation, as people write it: "What 's up , boss ?" → "What's up, boss?"."""
    text = re.sub(r"\s+([.,!?;:%)\]]|'(?:s|m|re|ve|ll|d|t)\b|n't\b)", r"\1", text)
    return re.sub(r"([(\[])\s+", r"\1", re.sub(r"(\w) - (\w)", r"\1-\2", text)).strip()


def is_held_out(text: str) -> bool:
    """The same tenth of XED in every run, chosen by the text itself, so that repeats stay on one side."""
    key = re.sub(r"\W+", " ", text.lower()).strip()
    return hashlib.md5(key.encode()).digest()[0] % 10 == 0


def xed(held_out: bool) -> list[Example]:
    """XED. Anticipation alone ("When are we leaving?") counts as neutral, at half weight, and only in training."""
    rows = []
    folder = root() / "train/xed"
    lines = (folder / "en-annotated.tsv").read_text(encoding="utf-8").split("\n")
    neutral = (folder / "neu_en.txt").read_text(encoding="utf-8").split("\n")
    pairs = [line.rsplit("\t", 1) for line in lines if line] + [line.split("\t", 1)[::-1] for line in neutral if line]
    for text, ids in pairs:
        text, codes = detokenize(text), [int(i) for i in ids.split(",") if i.strip()]
        names = [XED[code] for code in codes if code in XED]
        weight = 1.0
        if not held_out and XED_ANTICIPATION in codes and not set(names) & set(NEGATIVE):
            weight = 1.0 if names else 0.5
            names.append("neutral")
        if names and re.search(r"\w", text) and is_held_out(text) == held_out:
            rows.append(Example(text, soft(names), None, "xed", weight))
    return rows


def brighter() -> list[Example]:
    """BRIGHTER English (train and dev; the released test has no labels). No label at all means neutral."""
    rows = []
    for split in ("train", "dev"):
        with open(root() / f"train/brighter_eng/{split}.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                names = [label for label in LABELS if row.get(label) == "1"]
                rows.append(Example(row["text"].strip(), soft(names or ["neutral"]), None, "brighter"))
    return rows


def written() -> list[Example]:
    """The examples written for this project (CC0): neutral small talk, questions, negation, chat style. Their {slots} are
    filled anew each time they are read (`augment.py`)."""
    path = HERE / "written.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [Example(row["text"], soft(row["label"].split("+")), None, "written") for row in rows]


def training_set(written_repeats: int) -> list[Example]:
    """Everything that may be trained on, without texts that also stand in a split we select or test on. An epoch sees each
    written example `written_repeats` times, restyled each time."""
    kept_out = {row.text.lower() for split in ("dev", "test") for row in goemotions(split)}
    rows = goemotions("train") + [row for row in xed(False) + brighter() if row.text.lower() not in kept_out]
    return rows + written() * written_repeats


def single_label(name: str, rows: list[Example]) -> TestSet:
    """Only the rows whose labels all map to one class: what accuracy and mode are defined on."""
    keep = [row for row in rows if row.target.max() == 1.0]
    return TestSet(name, [row.text for row in keep], [int(row.target.argmax()) for row in keep])


def meld(path: Path) -> TestSet:
    """MELD: one utterance of the series Friends a row. Evaluation only."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return TestSet("MELD test", [r["Utterance"] for r in rows], [LABELS.index(r["Emotion"]) for r in rows])


def dailydialog(path: Path) -> TestSet:
    """DailyDialog in XDailyDialog's layout: turns ended by __eou__, then topic, acts and emotions by tab. Evaluation only."""
    test = TestSet("DailyDialog test")
    for line in path.read_text(encoding="utf-8").splitlines():
        dialogue, _, _, emotions = line.split("\t")
        turns = [turn.strip() for turn in dialogue.split("__eou__")]
        codes = [int(code) for code in emotions.split()]
        for turn, code in zip((t for t in turns if t), codes):
            test.texts.append(turn)
            test.gold.append(LABELS.index(DAILYDIALOG[code]))
    return test


def test_sets() -> tuple[list[TestSet], list[str]]:
    """Every held-out set that is there, and the names of those that are not."""
    base = root()
    loaders = {
        "GoEmotions test, refined": (base / "train/goemotions/original.test.tsv",
                                     lambda _: single_label("GoEmotions test, refined", goemotions("test"))),
        "XED, 10% held out": (base / "train/xed/en-annotated.tsv",
                              lambda _: single_label("XED, 10% held out", xed(True))),
        "MELD test": (base / "eval-only/meld/test.csv", meld),
        "DailyDialog test": (base / "eval-only/dailydialog/en_test.txt", dailydialog),
    }
    found = [load(path) for path, load in loaders.values() if path.exists()]
    return found, [name for name, (path, _) in loaders.items() if not path.exists()]
