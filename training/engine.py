"""The bot's own engine as a measure: runs `ai-friend evaluate` and `ai-friend score`, so that the model is measured as it is served. What the bot
does beside it (written answers, drawing anew what rejoices at a sorrow) is not in these figures."""

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
            data = Path(folder) / "lines.jsonl"
            data.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            return told(self.binary, [*command, str(data), *self.flags], self.settings)

    def replies(self, conversations: list) -> list:
        """[{"reply", "tokens", "cut"}] for conversations in the form of `ai-friend evaluate reply`."""
        return [json.loads(line) for line in self._run(["evaluate", "reply"], conversations).splitlines()]

    def loss(self, conversations: list) -> dict:
        """{mode or ALL: {"conversations", "tokens", "loss", "perplexity"}}, in nats a token of the friend's replies."""
        return json.loads(self._run(["evaluate", "loss"], conversations))


def told(binary: Path, command: list, settings: str = "", typed: str | None = None) -> str:
    """What the bot's program prints, by these settings and no others: an ai-friend.toml that lies about must not change what is measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_text(settings, encoding="utf-8")
        try:
            done = subprocess.run([binary, *command, "--config", str(path)], input=typed, capture_output=True, text=True, encoding="utf-8",
                                  env=surroundings())
        except OSError as error:
            raise Problem(f"{binary} cannot be run: {error.strerror}", "`make build` makes it; or name it with --binary.") from None
    if done.returncode:
        raise Problem(f"{binary} {' '.join(command[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def surroundings() -> dict:
    """The environment without the one variable that would put its adapter in the place of the arm's."""
    return {name: value for name, value in os.environ.items() if name != "AI_FRIEND_MODEL_ADAPTER"}


def scores(binary: Path, texts: list) -> list:
    """The seven emotion probabilities of each text, by the shipped scorer."""
    return [one["scores"] for one in scored(binary, texts)]


def modes(binary: Path, texts: list) -> list:
    """The mode that the bot answers each text in, as the first of a chat."""
    return [one["mode"] for one in scored(binary, texts)]


def scored(binary: Path, texts: list) -> list:
    if not texts:
        return []
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    return [json.loads(line) for line in told(binary, ["score", "--json", "-"], typed=lines).splitlines()]
