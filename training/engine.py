"""The bot's own engine as a measure: runs `ai-friend evaluate` and `ai-friend score`, so that what is measured is what is served."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from dataset.problem import Problem


class Engine:
    """One arm: the served model with its adapter, without it, or with another one."""

    def __init__(self, binary: Path, name: str, adapter: str):
        self.binary, self.name = binary, name
        self.flags = ["--no-adapter"] if adapter == "none" else []
        self.settings = f'[model]\nadapter = "{Path(adapter).resolve()}"\n' if adapter not in ("none", "shipped") else ""

    def _run(self, command: list, lines: list) -> str:
        with tempfile.TemporaryDirectory() as folder:
            settings, data = Path(folder) / "settings.toml", Path(folder) / "lines.jsonl"
            settings.write_text(self.settings, encoding="utf-8")
            data.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            told = subprocess.run(
                [self.binary, *command, str(data), *self.flags, "--config", str(settings)], capture_output=True, text=True,
                env=surroundings(),
            )
        if told.returncode:
            raise Problem(f"{self.binary} {' '.join(command)} failed: {told.stderr.strip()}")
        return told.stdout

    def replies(self, conversations: list) -> list:
        """[{"reply", "tokens", "cut"}] for conversations in the form of `ai-friend evaluate reply`."""
        return [json.loads(line) for line in self._run(["evaluate", "reply"], conversations).splitlines()]

    def loss(self, conversations: list) -> dict:
        """{mode or ALL: {"conversations", "tokens", "loss", "perplexity"}}, in nats a token of the friend's replies."""
        return json.loads(self._run(["evaluate", "loss"], conversations))


def surroundings() -> dict:
    """The environment without the one variable that would put its adapter in the place of the arm's."""
    return {name: value for name, value in os.environ.items() if name != "AI_FRIEND_MODEL_ADAPTER"}


def scores(binary: Path, texts: list) -> list:
    """The seven emotion probabilities of each text, by the shipped scorer."""
    return [told["scores"] for told in scored(binary, texts)]


def modes(binary: Path, texts: list) -> list:
    """The mode that the bot answers each text in, as the first of a chat."""
    return [told["mode"] for told in scored(binary, texts)]


def scored(binary: Path, texts: list) -> list:
    if not texts:
        return []
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    told = subprocess.run([binary, "score", "--json", "-"], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in told.stdout.splitlines()]
