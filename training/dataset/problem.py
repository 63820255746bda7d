"""The one error that people are meant to read: what is wrong, why, and what to do next."""


class Problem(Exception):
    """Shown without a traceback, as `error: …` and one line for each further sentence."""

    def __init__(self, what: str, *next_steps: str):
        super().__init__("\n       ".join([what, *next_steps]))
