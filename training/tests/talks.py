"""Transcripts of two arms, as evaluate.py writes them: small, and telling the arms apart by their length."""

import json
from pathlib import Path

SHORT, LONG = "Oh.", "Oh no, and what did the {} say to that, was it kind to you at least?"


def logs(count: int = 6, turns: int = 2, reply: str = LONG, start: int = 0) -> list:
    """[[message, reply, cut]] of each person; no two replies are alike."""
    return [[[f"my thing{n} broke, part {turn}", reply.format(f"thing{n}") + f" {n}.{turn}", False] for turn in range(turns)]
            for n in range(start, start + count)]


def write(path: Path, talks: list, feelings: list | None = None) -> Path:
    path.write_text(json.dumps({"facts": {}, "talks": talks, "feelings": feelings or []}), encoding="utf-8")
    return path


def both(folder: Path, count: int = 6) -> list:
    """Arguments that name both arms: the base replies in short, the adapter at length."""
    base, adapter = write(folder / "base.json", logs(count, reply=SHORT)), write(folder / "adapter.json", logs(count))
    return ["--base", str(base), "--adapter", str(adapter)]
