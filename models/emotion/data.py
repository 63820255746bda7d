"""The corpora: where they lie, what their labels become, and which rows may be trained on.

`EMOTION_DATA` names a folder with `train/` (licences that let the weights ship) and `eval-only/` (licences that do not;
nothing here is ever fitted on them). The card lists files, sources and commits. The project's own dialogues and first
messages are read where they lie in the repository.
"""

import csv
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

import overlap

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / "training"
# Last, as both folders have a `train` and an `evaluate`.
sys.path.append(str(TRAINING))
from dataset import split, store  # noqa: E402
from dataset.problem import Problem  # noqa: E402

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
    """One message. `target` [7] sums to 1; `fine` [28] holds GoEmotions' own labels where there are any; `danger` is an index into
    `danger.CLASSES`, or -1 where nobody has looked."""

    text: str
    target: np.ndarray
    fine: np.ndarray | None = None
    source: str = ""
    weight: float = 1.0
    danger: int = -1


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


def corpus(name: str) -> Path:
    """A file of `EMOTION_DATA`; one that is missing ends the program with advice."""
    path = root() / name
    if not path.is_file():
        raise Problem(f"{path} is missing", "models/emotion/README.md says where it comes from and what it is called there.",
                      "Training needs all of train/; only what is measured may lack sets.")
    return path


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
    path = corpus(f"train/goemotions/original.{split}.tsv")
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
    lines = corpus("train/xed/en-annotated.tsv").read_text(encoding="utf-8").split("\n")
    neutral = corpus("train/xed/neu_en.txt").read_text(encoding="utf-8").split("\n")
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
        with open(corpus(f"train/brighter_eng/{split}.csv"), newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                names = [label for label in LABELS if row.get(label) == "1"]
                rows.append(Example(row["text"].strip(), soft(names or ["neutral"]), None, "brighter"))
    return rows


def written() -> list[Example]:
    """The examples written for this project (CC0): neutral small talk, questions, negation, chat style. Their {slots} are
    filled anew each time they are read (`augment.py`)."""
    path = HERE / "written.tsv"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [Example(text, soft(labels.split("+")), None, "written") for labels, text in rows]


def part_of(topic: str) -> str:
    """On which side a dialogue is, by its subject: "test" (what the friend's own training holds out too), "dev" or "train"."""
    return "test" if split.held_out(topic) else "dev" if split.held_out(topic, tenths=2) else "train"


def dialogues(part: str) -> list[Example]:
    """What the person says in the dialogues that the friend is trained on (CC0), each turn with the feeling it was written with.

    In GENERAL the friend only chats: a feeling there counts half as neutral, and is not tested on. Where the friend comforts or
    shares a joy, a first turn written with the other kind of feeling ("my uncle just died??", surprise) is left out. Later turns
    lean on what was said before, which the scorer does not see: they weigh half, and are not tested on either.
    """
    rows = []
    for dialogue in [dialogue for name in ("dialogues", "first-replies") for dialogue in store.read_all(TRAINING / name)]:
        if part_of(dialogue.topic) != part:
            continue
        wanted = {"FIX": "FIX", "WARM": "FLIRT"}.get(dialogue.mode)
        for at, (text, label) in enumerate((text, label) for who, text, label in dialogue.turns if who == "person"):
            mixed = dialogue.mode == "GENERAL" and label != "neutral"
            if not label or "{" in text or (at == 0 and wanted and mode_of_label(label) != wanted):
                continue
            if part == "train" or (at == 0 and not mixed):
                rows.append(Example(text, soft([label, "neutral"] if mixed else [label]), None, "dialogues", 0.5 if at else 1.0))
    return rows


def first_messages() -> TestSet:
    """The messages that the friend is evaluated on, each with the feeling that was meant."""
    entries = []
    for name in ("openings", "feelings"):
        lines = (TRAINING / "evaluation" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        entries += [(entry["turns"][0], LABELS.index(entry["emotion"])) for entry in map(json.loads, lines)]
    texts, gold = zip(*entries)
    return TestSet("First messages", list(texts), list(gold))


def tested() -> set[str]:
    """Every text of this repository that is selected or tested on, but for the behavioural cases."""
    return {row.text for part in ("dev", "test") for row in dialogues(part)} | set(first_messages().texts)


@cache
def own_examples() -> tuple[list[Example], list[Example]]:
    """(written, the dialogues' turns) without those that stand, or nearly stand, in a test of this repository (a minute's work)."""
    slots = overlap.slots()
    forms = [(full, row) for row in written() for full in overlap.filled(row.text, slots)]
    forms += [(row.text, row) for row in dialogues("train")]
    tests = sorted(tested()) + overlap.texts("behaviour.jsonl")
    near = {text for _, text in overlap.near_duplicates(tests, [text for text, _ in forms])}
    touching = {row.text for text, row in forms if text in near}
    return tuple([row for row in part if row.text not in touching] for part in (written(), dialogues("train")))


def training_set(written_repeats: int, dialogue_repeats: int) -> list[Example]:
    """Everything that may be trained on, without texts that also stand in a split we select or test on. An epoch sees each
    written example `written_repeats` times and each turn of the dialogues `dialogue_repeats` times, restyled each time."""
    kept_out = {row.text.lower() for part in ("dev", "test") for row in goemotions(part)}
    own = {text.lower() for text in tested()}
    rows = [row for row in goemotions("train") if row.text.lower() not in own]
    rows += [row for row in xed(False) + brighter() if row.text.lower() not in kept_out and row.text.lower() not in own]
    ours = zip(own_examples(), (written_repeats, dialogue_repeats))
    return rows + [row for part, repeats in ours for row in part * repeats if row.text.lower() not in kept_out]


def digest(rows: list[Example]) -> str:
    """What a run was begun with, so that it does not go on with something else."""
    total = hashlib.sha256()
    for row in rows:
        total.update(repr((row.text, row.target.tolist(), row.source, row.weight, row.danger)).encode())
    return total.hexdigest()


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


def own_test_sets() -> list[TestSet]:
    """Those of the repository itself."""
    return [single_label("Dialogues, subjects held out", dialogues("test")), first_messages()]


def test_sets() -> tuple[list[TestSet], list[str]]:
    """Every held-out set of `EMOTION_DATA` that is there, and the names of those that are not."""
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
