"""Dialogues in files, checked as they are read: an error names file, line, and what is wrong with it. A .txt is in the text form
(textform.py); whatever else is JSONL, one a line:

    {"id": "fix-exam-1", "mode": "FIX", "topic": "exam", "persona": "any", "memory": ["they study law"],
     "turns": [{"who": "person", "text": "failed again", "emotion": "sadness"}, {"who": "friend", "text": "Oh no. …"}]}

A turn of `"who": "bot"` stands in the friend's place and is not learnt: its text names what the bot says there by itself (prompts.bot_texts).
"""

import itertools
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import saving, textform
from .problem import Problem
from .prompts import bot_texts

MODES = ("GENERAL", "WARM", "FLIRT", "FIX")
EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
PLACEHOLDERS = {"name", "age", "job", "a_job", "city"}
LONGEST_TEXT = 2000
TEXT, JSONL = ".txt", ".jsonl"


@dataclass
class Dialogue:
    """A talk between a person and the friend. `turns` are (who, text, emotion or None), the person first."""

    id: str
    mode: str
    topic: str
    persona: str
    memory: list
    turns: list
    # Set where the system text is not made from the persona file, as for Synthetic-Persona-Chat.
    intro: str | None = None
    extra: dict = field(default_factory=dict)

    def texts(self, who: str) -> list:
        return [text for speaker, text, _ in self.turns if speaker == who]

    def as_json(self) -> str:
        turns = []
        for who, text, emotion in self.turns:
            turns.append({"who": who, "text": text} | ({"emotion": emotion} if emotion else {}))
        entry = {"id": self.id, "mode": self.mode, "topic": self.topic, "persona": self.persona}
        entry |= {"memory": self.memory, "turns": turns}
        if self.intro:
            entry["intro"] = self.intro
        return json.dumps(entry, ensure_ascii=False)


def check(entry) -> Dialogue:
    """Makes a dialogue of parsed JSON, or raises ValueError with what is wrong."""
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    for name in ("id", "mode", "topic", "turns"):
        if name not in entry:
            raise ValueError(f"it has no `{name}`")
    for name in ("id", "mode", "topic"):
        if not isinstance(entry[name], str) or not entry[name]:
            raise ValueError(f"`{name}` is not a text")
    if entry["mode"] not in MODES:
        raise ValueError(f"mode `{entry['mode']}` is unknown; known: {', '.join(MODES)}")
    persona = entry.get("persona", "any")
    if persona not in ("any", "arthur"):
        raise ValueError(f"persona `{persona}` is unknown; known: any, arthur")
    memory = entry.get("memory", [])
    if not isinstance(memory, list) or not all(isinstance(fact, str) and fact.strip() for fact in memory):
        raise ValueError("`memory` is not a list of texts")
    turns = entry["turns"]
    if not isinstance(turns, list) or len(turns) < 2:
        raise ValueError("`turns` needs at least one turn of each")
    checked = [check_turn(number, turn) for number, turn in enumerate(turns, 1)]
    for number, (who, _, _) in enumerate(checked):
        wanted = ("person", "friend")[number % 2]
        if who != wanted and (who, wanted) != ("bot", "friend"):
            raise ValueError(f"turn {number + 1} is the {who}'s; turns alternate, the person first: it should be the {wanted}'s")
    if checked[-1][0] != "friend":
        raise ValueError(f"the last turn is the {checked[-1][0]}'s; the friend's reply is missing")
    intro = entry.get("intro")
    return Dialogue(entry["id"], entry["mode"], entry["topic"], persona, memory, checked, intro)


def check_turn(number: int, turn) -> tuple:
    if not isinstance(turn, dict):
        raise ValueError(f"turn {number} is no object")
    who, text, emotion = turn.get("who"), turn.get("text"), turn.get("emotion")
    if who not in ("person", "friend", "bot"):
        raise ValueError(f"turn {number}: who is `{who}`; known: person, friend, bot")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"turn {number} has no text")
    if who == "bot" and text not in bot_texts():
        raise ValueError(f"turn {number}: the bot has no text `{text[:60]}`; known: {', '.join(sorted(bot_texts()))}")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"turn {number} has {len(text)} characters; at most {LONGEST_TEXT}")
    if emotion is not None and (who != "person" or emotion not in EMOTIONS):
        raise ValueError(f"turn {number}: emotion `{emotion}`; known, and only for the person: {', '.join(EMOTIONS)}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"turn {number} holds half of a character (a lone surrogate), as of an emoji that was cut")
    if strange := set(re.findall(r"\{(\w+)\}", text)) - PLACEHOLDERS:
        raise ValueError(f"turn {number}: placeholder {{{min(strange)}}}; known: {', '.join(sorted(PLACEHOLDERS))}")
    return who, text, emotion


def read(path: Path, most_errors: int = 5) -> list:
    """Reads a file; all its faults (the first few) are told at once."""
    dialogues, faults, seen = [], [], {}
    try:
        # As some editors put a byte order mark before it.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "Name a file of dialogues (.txt or .jsonl), or a folder of them.") from None
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not UTF-8 (byte {error.start})", "Save it as UTF-8.") from None
    for number, take in entries(path, text):
        try:
            dialogue = check(take())
            if dialogue.id in seen:
                raise ValueError(f"id `{dialogue.id}` is already on line {seen[dialogue.id]}")
            seen[dialogue.id] = number
            dialogues.append(dialogue)
        except json.JSONDecodeError as error:
            faults.append(f"{path}:{number}: broken JSON at column {error.colno}: {error.msg}")
        except ValueError as error:
            faults.append(f"{path}:{number}: {error}")
    if faults:
        more = [f"… and {len(faults) - most_errors} more"] if len(faults) > most_errors else []
        raise Problem(faults[0], *faults[1:most_errors], *more, "Mend or remove these lines; `python -m dataset report FILE` checks again.")
    if not dialogues:
        raise Problem(f"{path} holds no dialogue", "training/README.md shows both forms.")
    return dialogues


def entries(path: Path, text: str) -> list:
    """[(line, what makes the parsed object)]: a JSON line can still be broken."""
    if path.suffix == TEXT:
        return [(entry["line"], lambda entry=entry: entry) for entry in textform.parse(path, text)]
    return [(number, lambda line=line: json.loads(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def files(folder: Path) -> list:
    """The files of dialogues in a folder, in the order of their names."""
    return sorted(path for path in folder.glob("*") if path.suffix in (TEXT, JSONL))


def read_all(where: Path) -> list:
    """Reads a file, or all of a folder."""
    if not where.is_dir():
        return read(where)
    if not (found := files(where)):
        raise Problem(f"{where} holds neither *.txt nor *.jsonl", "Name a folder with dialogues, such as training/dialogues.")
    return [dialogue for file in found for dialogue in read(file)]


def named(dialogues: list) -> list:
    """Those whose id another has already get one of their own: files in the text form number their dialogues each for itself."""
    used, made = set(), []
    for dialogue in dialogues:
        free = (f"{dialogue.id}-{number}" for number in itertools.count(2))
        name = dialogue.id if dialogue.id not in used else next(name for name in free if name not in used)
        used.add(name)
        made.append(replace(dialogue, id=name))
    return made


def text_of(path: Path, dialogues: list) -> str:
    """What a file of these dialogues holds, in the form of its name."""
    form = textform.text_of if path.suffix == TEXT else lambda dialogue: dialogue.as_json() + "\n"
    return "".join(form(dialogue) for dialogue in dialogues)


def write(path: Path, dialogues: list) -> None:
    text = text_of(path, dialogues)
    saving.write(path, lambda beside: beside.write_text(text, encoding="utf-8"))
