"""The reference's training set, made from the raw files of EmpatheticDialogues and DailyDialog exactly as it made it.

Kept to compare with, faults included: its test sets are folded into training, the prompt counts in the loss, and nobody in
it is angry or afraid. Recipe `kind` does better. Both originals are for non-commercial use; none of their text is here.

Where they are expected: FOLDER/empatheticdialogues/{train,valid,test}.csv and
FOLDER/dailydialog/{train,validation,test}/dialogues[_emotion]_{train,validation,test}.txt"""

import json
from collections import Counter
from pathlib import Path

from .problem import Problem

SYSTEM = (
    "You are a kind and empathetic interlocutor. You are talking to a person. Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
INSTRUCTION = "You try to chit-chat. Complete a phrase, acting like an interlocutor."
CONTEXTS = """joyful sad lonely embarrassed surprised excited sentimental faithful proud trusting hopeful confident
grateful""".split()
EMOTIONS = {"0", "4", "6"}  # none, happiness, surprise
# What the original files give; anything else means that they are other files, or the recipe is broken.
COUNTS = {"empathetic": (7490, 1160, 1098), "daily": (9874, 889, 863), "joined": (19325, 2049)}


def lines_of(path: Path) -> list:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", __doc__.split("\n\n")[-1]) from None


def empathetic(path: Path) -> list:
    """(context, utterances) of each conversation, in the file's order. Commas inside a field are written `_comma_`."""
    conversations = {}
    head, *rows = lines_of(path)
    columns = head.strip().split(",")
    for number, row in enumerate(rows, 2):
        if not row.strip():
            continue
        fields = row.rstrip("\r").split(",")
        if len(fields) < len(columns) - 1:  # the last, tags, may be missing
            raise Problem(f"{path}:{number}: {len(fields)} fields where {len(columns)} are expected", "Take the original file.")
        entry = dict(zip(columns, fields))
        context, said = conversations.setdefault(entry["conv_id"], (entry["context"], []))
        said.append(" ".join(entry["utterance"].replace("_comma_", ",").split()))
    return list(conversations.values())


def daily(texts: Path, emotions: Path) -> list:
    """(emotion numbers, utterances) of each dialogue."""
    dialogues = []
    rows = zip(lines_of(texts), lines_of(emotions), strict=False)
    for number, (text, numbers) in enumerate(rows, 1):
        if not text.strip():
            continue
        said = [" ".join(part.split()) for part in text.split("__eou__") if part.strip()]
        marks = numbers.split()
        if len(said) != len(marks):
            raise Problem(f"{texts}:{number}: {len(said)} utterances but {len(marks)} emotions", "Take both files from one release.")
        dialogues.append((marks, said))
    return dialogues


def raw(folder: Path, part: str) -> tuple:
    """Both sets' conversations of one part: train, validation or test."""
    name = {"validation": "valid"}.get(part, part)
    first = empathetic(folder / f"empatheticdialogues/{name}.csv")
    base = folder / "dailydialog" / part
    return first, daily(base / f"dialogues_{part}.txt", base / f"dialogues_emotion_{part}.txt")


def text_of(utterances: list) -> str:
    said = "\n".join(f"{('Person', 'You')[index % 2]}: {text}" for index, text in enumerate(utterances))
    return f"{SYSTEM}\n\n### Instruction:\n{INSTRUCTION}\n\n### Response:\n{said}"


def build(folder: Path) -> tuple:
    """(train texts, validation texts, counts): the reference's two files."""
    kept = {"empathetic": {}, "daily": {}}
    for part in ("train", "validation", "test"):
        first, second = raw(folder, part)
        kept["empathetic"][part] = [said for context, said in first if context in CONTEXTS]
        kept["daily"][part] = [said for marks, said in second if set(marks) <= EMOTIONS]
    train = [said for name in kept for part in ("train", "test") for said in kept[name][part]]
    validation = [said for name in kept for said in kept[name]["validation"]]
    counts = {name: tuple(len(kept[name][part]) for part in ("train", "validation", "test")) for name in kept}
    counts["joined"] = (len(train), len(validation))
    return [text_of(said) for said in train], [text_of(said) for said in validation], counts


def difference(counts: dict) -> list:
    """How these counts differ from what the original files give."""
    return [f"{name}: {counts[name]}, the original files give {wanted}" for name, wanted in COUNTS.items() if counts[name] != wanted]


def write(path: Path, texts: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")


def duplicates(texts: list) -> int:
    return sum(n - 1 for n in Counter(texts).values())
