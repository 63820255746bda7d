"""The form in which dialogues are written by hand, for people rather than programs:

    # FIX | exam-failed | any | memory: their sister is called Nadia; they study law
    P sadness: failed my exam. again
    F: Ugh, after all those nights you put in. Does Nadia know yet?
"""

import re
from pathlib import Path

from .problem import Problem
from .store import check


def parse(path: Path) -> list:
    """The dialogues of a text file, as the objects that store.check takes, each with the line it begins on."""
    entries, current = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("# "):
            current = header(path, number, line[2:])
            entries.append(current)
            continue
        found = re.match(r"(?:P (\w+)|F): (.+)$", line)
        if not found or current is None:
            raise Problem(f"{path}:{number}: this is neither a header nor a turn: {line[:60]}",
                          "A header is `# MODE | topic | any`, a turn `P joy: words` or `F: words`.")
        who = "person" if found[1] else "friend"
        turn = {"who": who, "text": " ".join(found[2].split())}
        current["turns"].append(turn | ({"emotion": found[1]} if found[1] else {}))
    return entries


def header(path: Path, number: int, text: str) -> dict:
    parts = [part.strip() for part in text.split("|")]
    if len(parts) < 3 or (len(parts) > 3 and not parts[3].lower().startswith("memory:")):
        raise Problem(f"{path}:{number}: not a header: {text[:60]}", "Write `# MODE | topic | any or arthur | memory: fact; fact`.")
    facts = parts[3][len("memory:"):] if len(parts) > 3 else ""
    memory = [fact.strip().rstrip(".") for fact in facts.split(";") if fact.strip()]
    return {"line": number, "mode": parts[0], "topic": parts[1], "persona": parts[2], "memory": memory, "turns": []}


def convert(paths: list) -> list:
    """Dialogues of these files, sorted by mode and topic; ids are made of both and a number."""
    entries = [(path, entry) for path in paths for entry in parse(path)]
    entries.sort(key=lambda pair: (pair[1]["mode"], pair[1]["topic"]))
    dialogues, used = [], {}
    for path, entry in entries:
        stem = f"{entry['mode'].lower()}-{entry['topic']}"
        used[stem] = used.get(stem, 0) + 1
        line = entry.pop("line")
        try:
            dialogues.append(check({"id": f"{stem}-{used[stem]}"} | entry))
        except ValueError as error:
            raise Problem(f"{path}:{line}: {error}", "Mend this dialogue.") from None
    return dialogues
