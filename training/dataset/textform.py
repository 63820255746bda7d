"""The form in which dialogues are written by hand and kept, for people rather than programs:

    # FIX | exam-failed | any | memory: their sister is called Nadia; they study law
    P sadness: failed my exam. again
    F: Ugh, after all those nights you put in. Does Nadia know yet?

`B: answer` stands for what the bot says there by itself, by the name of its setting: see prompts.written.
"""

import re
from pathlib import Path

from .problem import Problem

MEMORY = "memory:"
SPEAKERS = {"P": "person", "F": "friend", "B": "bot"}


def parse(path: Path, text: str) -> list:
    """The dialogues of a text file, as the objects that store.check takes, each with the line it begins on. Ids are made of mode,
    topic and a number."""
    entries, current, used = [], None, {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("# "):
            current = header(path, number, line[2:])
            stem = f"{current['mode'].lower()}-{current['topic']}"
            used[stem] = used.get(stem, 0) + 1
            current["id"] = f"{stem}-{used[stem]}"
            entries.append(current)
            continue
        found = re.match(r"(?:P(?: (\w+))?|F|B): (.+)$", line)
        if not found or current is None:
            raise Problem(f"{path}:{number}: this is neither a header nor a turn: {line[:60]}",
                          "A header is `# MODE | topic | any`, a turn `P joy: words`, `F: words` or `B: answer`.")
        who = SPEAKERS[line[0]]
        turn = {"who": who, "text": " ".join(found[2].split())}
        current["turns"].append(turn | ({"emotion": found[1]} if found[1] else {}))
    return entries


def header(path: Path, number: int, text: str) -> dict:
    parts = [part.strip() for part in text.split("|")]
    if not 3 <= len(parts) <= 4 or (len(parts) == 4 and not parts[3].lower().startswith(MEMORY)):
        raise Problem(f"{path}:{number}: not a header: {text[:60]}", "Write `# MODE | topic | any or arthur | memory: fact; fact`.")
    facts = parts[3][len(MEMORY):] if len(parts) > 3 else ""
    memory = [fact.strip().rstrip(".") for fact in facts.split(";") if fact.strip()]
    return {"line": number, "mode": parts[0], "topic": parts[1], "persona": parts[2], "memory": memory, "turns": []}


def text_of(dialogue) -> str:
    """A dialogue in this form, a blank line after it."""
    fields = [dialogue.mode, dialogue.topic, dialogue.persona]
    if dialogue.memory:
        fields.append(f"{MEMORY} {'; '.join(dialogue.memory)}")
    broken = any("|" in field or len(field.splitlines()) > 1 for field in fields)
    if dialogue.intro or broken or any(";" in fact for fact in dialogue.memory):
        raise Problem(f"dialogue `{dialogue.id}` does not fit the text form: it has an intro, a `|` or a line's end in a field, or a `;` in a fact", "Keep it as JSONL.")
    turns, letters = [], {who: letter for letter, who in SPEAKERS.items()}
    for who, text, emotion in dialogue.turns:
        turns.append(f"{letters[who]}{f' {emotion}' if emotion else ''}: {' '.join(text.split())}\n")
    return f"# {' | '.join(fields)}\n{''.join(turns)}\n"
