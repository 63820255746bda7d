"""Verdicts as they come, a JSON object a line, so that a stopped run goes on and no call is paid for twice."""

import hashlib
import json
import os
from pathlib import Path

from dataset.problem import Problem


def key(pair: str, order: int, judge: str, messages: list) -> tuple:
    """What makes two questions the same."""
    digest = hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
    return pair, order, judge, digest[:16]


class Verdicts:
    """A file of verdicts, each one of `valid` or None; later lines win."""

    def __init__(self, path: Path, valid: tuple):
        self.path, self.valid = path, valid
        self.known = {}
        *lines, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._take(line, number)
        if torn:
            # What a killed run leaves behind: that verdict is asked for again.
            os.truncate(path, path.stat().st_size - len(torn))

    def _take(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            self.known[entry["pair"], entry["order"], entry["judge"], entry["prompt"]] = entry
            valid = entry["verdict"] in (*self.valid, None)
        except (ValueError, TypeError, LookupError):
            valid = False
        if not valid:
            raise Problem(f"line {number} of {self.path} is no verdict", "Take the line out, or give another --out folder.")

    def add(self, key: tuple, **said: object) -> None:
        """Keeps a verdict, on disk before anything else is asked."""
        entry = dict(zip(("pair", "order", "judge", "prompt"), key)) | said
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self.known[key] = entry
