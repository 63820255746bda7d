"""The one error that people are meant to read: what is wrong, why, and what to do next."""


import sys
from collections.abc import Callable


class Problem(Exception):
    """Shown without a traceback, as `error: …` and one line for each further sentence."""

    def __init__(self, what: str, *next_steps: str):
        super().__init__("\n       ".join([what, *next_steps]))


def exit_code(work: Callable[[], object], stopped: str = "stopped") -> int:
    """Does a program's work and tells a Problem, or that it was `stopped` by Ctrl-C, on standard error: 0, 1 or 130."""
    try:
        work()
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    return 0
