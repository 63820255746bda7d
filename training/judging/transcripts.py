"""Talks of one arm as evaluate.py writes them, and pairs of talks that a judge compares."""

import functools
import json
import random
from dataclasses import dataclass
from pathlib import Path

from dataset.mixture import Mixture
from dataset.problem import Problem
from dataset.prompts import ROOT

FOLDER = ROOT / "target/evaluation"
PROBES = ROOT / "training/evaluation"
OPENINGS = PROBES / "openings.jsonl"
# Stands for an empty reply, as in the talk's own history.
EMPTY = "…"


@dataclass(frozen=True)
class Talk:
    """What a scripted person wrote, and the reply to each message."""

    said: tuple
    replies: tuple


@dataclass(frozen=True)
class Pair:
    """The same messages answered twice."""

    name: str
    contender: Talk
    reference: Talk


def talk(turns: list) -> Talk:
    """From [(message, reply, …)]."""
    return Talk(tuple(turn[0] for turn in turns), tuple(turn[1] or EMPTY for turn in turns))


def read(path: Path, part: str = "talks") -> list:
    """The talks of a transcript file; its `feelings` are those of one message and its reply."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if part not in content and "talks" in content:
            raise Problem(f"{path} is of an older `make evaluate`, which asked for no {part}", "Run `make evaluate` again.")
        talks = [talk(turns) for turns in content[part]]
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "`make evaluate` writes the transcripts of both arms.") from None
    except (ValueError, TypeError, LookupError):
        raise Problem(f"{path} is no transcript file", "`make evaluate` writes them: base.transcripts.json and adapter.transcripts.json.") from None
    if not talks or not all(one.said and all(isinstance(text, str) for text in one.said + one.replies) for one in talks):
        raise Problem(f"{path} holds no talks, or an empty one", "Run `make evaluate` again.")
    return talks


def openings(talks: list) -> list:
    """The opening of each talk, found by what the person wrote: transcripts tell neither mode nor emotion."""
    lines = [line for path in (OPENINGS, PROBES / "feelings.jsonl") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    known = {tuple(opening["turns"]): opening for opening in map(json.loads, lines)}
    for one in talks:
        if one.said not in known:
            raise Problem(f"no opening has the messages of the talk that begins “{one.said[0]}”, so its mode and emotion are not known",
                          f"The transcripts must be of {PROBES.name}/ as it is now: run `make evaluate` again.")
    return [known[one.said] for one in talks]


def pairs(contenders: list, references: list, unit: str = "talks") -> list:
    """Both arms' talks with each person: whole, or (`replies`) only the first reply, before which nothing differs."""
    if [one.said for one in contenders] != [one.said for one in references]:
        raise Problem("the transcripts are of different talks: their persons' messages differ", "Both must come from one run of evaluate.py.")
    turns = 1 if unit == "replies" else None
    cut = lambda one: Talk(one.said[:turns], one.replies[:turns])
    return [Pair(f"{unit}-{n}", cut(ours), cut(theirs)) for n, (ours, theirs) in enumerate(zip(contenders, references), 1)]


def shuffled(talks: list, seed: int = 0) -> list:
    """Control: each person gets the replies that another one got."""
    if len(talks) < 2:
        raise Problem("there is one talk only, so there is nobody to swap replies with", "Give transcripts of two persons or more.")
    order = list(range(len(talks)))
    random.Random(seed).shuffle(order)
    donors = dict(zip(order, order[1:] + order[:1]))
    # A donor with fewer turns starts again.
    given = lambda n, turn: talks[donors[n]].replies[turn % len(talks[donors[n]].replies)]
    return [Talk(one.said, tuple(given(n, turn) for turn in range(len(one.said)))) for n, one in enumerate(talks)]


@functools.cache
def written_replies() -> tuple:
    """What the friend says in the project's held-out dialogues, to whomever."""
    return tuple(text for example in Mixture(ROOT / "training/dialogues", {}).held_out() for who, text in example.turns if who == "friend")


def drawn(talks: list, seed: int = 0) -> list:
    """Control: each reply is a good one, drawn from dialogues about something else."""
    rng, replies = random.Random(seed), written_replies()
    return [Talk(one.said, tuple(rng.choice(replies) for _ in one.said)) for one in talks]


def echo(talks: list) -> list:
    """Control: each reply is the message itself."""
    return [Talk(one.said, one.said) for one in talks]
