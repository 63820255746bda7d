"""What training data shares with the evaluation sets: it must be nothing, or the figures flatter.

A dialogue overlaps when one of the person's turns or remembered facts is word for word (but for case and punctuation) or
nearly one of an evaluation set's. Texts of one word, such as "hi", tell nothing and are not counted."""

import json
from pathlib import Path

from .near import Near, plain
from .prompts import ROOT
from .problem import Problem

FOLDER = ROOT / "training/evaluation"
NEARLY = 0.8


def evaluation_texts(folder: Path = FOLDER) -> list:
    """Every text of the evaluation sets that a person says, or that stands in their memory."""
    texts = []
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise Problem(f"{file}:{number}: broken JSON: {error.msg}", "Mend this line.") from None
            texts += [entry["text"]] if "text" in entry else []
            texts += entry.get("turns", []) + entry.get("memory", [])
    return [text for text in texts if isinstance(text, str)]


class Overlap:
    """Answers whether a dialogue touches the evaluation sets."""

    def __init__(self, folder: Path = FOLDER):
        texts = {plain(text) for text in evaluation_texts(folder)}
        self.exact = {text for text in texts if " " in text}
        self.near = Near(NEARLY)
        for text in sorted(self.exact):
            if len(text.split()) >= 5:
                self.near.add(text, text)

    def touches(self, text: str) -> bool:
        text = plain(text)
        return text in self.exact or (len(text.split()) >= 5 and bool(self.near.of(text)))

    def of(self, dialogue) -> list:
        """Which texts of the dialogue stand in an evaluation set."""
        return [text for text in dialogue.texts("person") + dialogue.memory if self.touches(text)]
