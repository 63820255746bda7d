"""What one epoch trains on: the written dialogues with their placeholders filled anew, the templates' short talks, and some of
Synthetic-Persona-Chat. Every epoch draws other personas and values; the seed decides all of it."""

import itertools
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

from . import augment, persona_chat
from .overlap import Overlap
from .personas import Personas
from .prompts import ROOT, bot_texts, shipped_persona, system_text
from .split import held_out, split
from .store import read_all


@dataclass(frozen=True)
class Example:
    """A prompt's system text and the turns (who, text) that follow."""

    id: str
    mode: str
    system: str
    turns: tuple


def weight(dialogue) -> int:
    """Twice what is rare and must be right: someone in danger, and honesty about being a bot."""
    replies = " ".join(dialogue.texts("friend")).lower()
    return 2 if re.search(r"988|\ba bot\b", replies) else 1


class Mixture:
    """`data` is the recipe's [data] table; `persona_chat_folder` may be None. `notes` tells what was left out, and why. Held out is
    the recipe's own test set, else a tenth of the subjects. `finish` are the tables of its last stages, whose written dialogues are kept
    back from the epochs."""

    def __init__(self, written: Path, data: dict, persona_chat_folder: Path | None = None, finish: list | None = None):
        self.data, self.notes, self.finish = data, [], finish or []
        self.personas, self.modes = Personas(), shipped_persona()["modes"]
        self.overlap = Overlap()
        everything = read_all(written)
        clean = [d for d in everything if not self.overlap.of(d)]
        if left := len(everything) - len(clean):
            self.notes.append(f"{left} dialogues left out: they share a text with training/evaluation")
        if "test" in data:
            tests = read_all(ROOT / data["test"])
            self.train, self.test = clean, tests[:: -(-len(tests) // data.get("most_test", len(tests)))]
        else:
            self.train, self.test = split(clean)
        # A stage's own, none of a subject that is held out.
        self.own = [self.of_stage(ROOT / table["dialogues"]) if "dialogues" in table else [] for table in self.finish]
        self.chats, wanted = [], data.get("persona_chat", 0)
        if wanted and persona_chat_folder and (persona_chat_folder / persona_chat.FILE).exists():
            self.chats = [d for d in persona_chat.read(persona_chat_folder) if not self.overlap.of(d)][:wanted]
        elif wanted:
            self.notes.append("Synthetic-Persona-Chat skipped: DIALOGUE_DATA names no folder with " + persona_chat.FILE)

    def of_stage(self, path: Path) -> list:
        everything = read_all(path)
        clean = [d for d in everything if not self.overlap.of(d) and ("test" in self.data or not held_out(d.topic))]
        if left := len(everything) - len(clean):
            held = "" if "test" in self.data else "are of a subject that is held out, or "
            self.notes.append(f"{left} of {len(everything)} dialogues of {path.name} left out: they {held}share a text with training/evaluation")
        return clean

    def sources(self) -> list:
        """Licences of what this mixture holds, for the adapter's metadata."""
        return [self.data.get("licence", "training/dialogues, CC0-1.0")] + ([persona_chat.LICENCE] if self.chats else [])

    def example(self, dialogue, rng: random.Random, arthur: float) -> Example:
        intro, filled = augment.fill(dialogue, rng, self.personas, arthur)
        system = system_text(intro, self.modes[filled.mode]["instruction"], filled.memory)
        return Example(filled.id, filled.mode, system, tuple((who, bot_texts()[text] if who == "bot" else text) for who, text, _ in filled.turns))

    def epoch(self, seed: int, number: int) -> list:
        """The examples of one epoch, in a fixed order; shuffling is the batcher's."""
        rng = random.Random(f"{seed}/{number}")
        # By identity: two files in the text form may give the same id.
        later = {id(d) for stage in self.kept_back(seed) for d in stage}
        times = weight if self.data.get("weigh", True) else lambda _: 1
        shown = [d for d in self.train if id(d) not in later]
        dialogues = [d for d in shown for _ in range(times(d))]
        # Not of `self.train`: the templates' talks begin with turns of written ones.
        dialogues += augment.make(rng, shown, self.data.get("augment", {}), self.overlap)
        dialogues += self.chats
        return [self.example(d, rng, self.data.get("arthur", 0.4)) for d in dialogues]

    def kept_back(self, seed: int) -> list:
        """[the written dialogues of each last stage], none of those that count twice in an epoch; at most a half, so that an epoch holds
        something."""
        usual = [d for d in self.train if weight(d) == 1]
        counts = [table.get("written", 0) for table in self.finish]
        drawn = iter(random.Random(f"{seed}/last").sample(usual, min(sum(counts), len(usual) // 2)))
        return [list(itertools.islice(drawn, count)) for count in counts]

    def last_stage(self, seed: int, stage: int = 0) -> list:
        """The examples of one of a recipe's last short stages, its [finish]: written ones that were kept back, some that were shown
        before, its own, and templates'."""
        settings = self.finish[stage]
        rng = random.Random(f"{seed}/finish/{stage}" if stage else f"{seed}/finish")
        kept = self.kept_back(seed)
        dialogues = kept[stage] + self.in_modes(seed, stage)
        # Not this stage's, nor what a later one is to bring.
        new = {id(d) for stage_of in kept[stage:] for d in stage_of}
        shown = [d for d in self.train if id(d) not in new]
        dialogues += random.Random(f"{seed}/again/{stage}").sample(shown, min(settings.get("again", 0), len(shown)))
        dialogues += augment.make(rng, self.train, settings.get("augment", {}), self.overlap, settings.get("topics", augment.TOPICS))
        return [self.example(d, rng, self.data.get("arthur", 0.4)) for d in dialogues]

    def in_modes(self, seed: int, stage: int) -> list:
        """A stage's own dialogues, each as often as the stage says of its mode; a share of them in GENERAL too, where the bot answers what its
        scorer takes for neither sad nor glad; and a share in the contrary mode, as the scorer errs: there the words must tell."""
        settings = self.finish[stage]
        own = [d for d in self.own[stage] for _ in range(settings.get("times", {}).get(d.mode, 1))]
        shown = list(own)
        for share, modes in (("general", {"FIX": "GENERAL", "WARM": "GENERAL"}), ("crossed", {"FIX": "WARM", "WARM": "FIX"})):
            rng = random.Random(f"{seed}/{share}/{stage}")
            shown += [replace(d, mode=modes[d.mode]) for d in own if d.mode in modes and rng.random() < settings.get(share, 0)]
        return shown

    def held_out(self, whole: bool = False) -> list:
        """The held-out dialogues, or the `whole` set, all with Arthur, so that every run measures the same."""
        rng = random.Random(0)
        return [self.example(d, rng, 1.0) for d in (self.train + self.test if whole else self.test)]
