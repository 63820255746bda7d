"""Votes of people on a blind sheet: read, checked, and counted with the key."""

import json
from itertools import combinations
from pathlib import Path

from dataset.problem import Problem

from . import outcome

CHOICES = ("left", "right", "tie")


def read_json(path: Path, what: str) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Problem(f"{path} is no {what}: it holds no JSON object", "Give the file as it was saved.")
    return value


def read_key(path: Path) -> dict:
    """{"sheet", "pairs": {number: {"talk", "contender": left or right}}}."""
    key = read_json(path, "key")
    try:
        valid = bool(key["sheet"]) and all(side["contender"] in ("left", "right") for side in key["pairs"].values())
    except (LookupError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise Problem(f"{path} is no key of a sheet", "`sheet.py make` writes it beside the page, as key.json.")
    return key


def read_votes(path: Path, key: dict) -> tuple:
    """(voter, {pair: choice}) of one saved file."""
    saved = read_json(path, "file of votes")
    voter, votes = saved.get("voter"), saved.get("votes")
    if not isinstance(voter, str) or not voter.strip() or not isinstance(votes, list) or not votes:
        raise Problem(f"{path} is no file of votes: it names no voter, or holds no votes", "The page's button saves it.")
    if saved.get("sheet") != key["sheet"]:
        raise Problem(f"{path} is of sheet {saved.get('sheet')}, the key of sheet {key['sheet']}", "Each sheet is counted with its own key.")
    made = {}
    for vote in votes:
        pair, choice = (vote.get("pair"), vote.get("choice")) if isinstance(vote, dict) else (None, None)
        if not isinstance(pair, str) or pair not in key["pairs"]:
            raise Problem(f"{path} votes on pair {pair}, which the sheet does not have", f"It has {len(key['pairs'])} pairs. Was the file changed?")
        if choice not in CHOICES:
            raise Problem(f"{path} votes `{choice}` on pair {pair}", f"Known: {', '.join(CHOICES)}.")
        if pair in made:
            raise Problem(f"{path} votes twice on pair {pair}", "Take one of the two out.")
        made[pair] = choice
    return " ".join(voter.split()), made


def read_all(paths: list, key: dict) -> dict:
    """{voter: {pair: choice}}; names are the same whatever their capitals."""
    voters, files = {}, {}
    for path in paths:
        voter, made = read_votes(path, key)
        name = voter.casefold()
        if name in voters:
            raise Problem(f"{files[name]} and {path} are both of voter {voter}", "Give one file a voter; two people of one name must write them differently.")
        voters[name], files[name] = made, path
    return voters


def point(choice: str, side: str) -> float:
    """The contender's."""
    return 0.5 if choice == "tie" else float(choice == side)


def tally(voters: dict, key: dict) -> dict:
    """Counts of votes; the win rate is the mean over pairs of their votes' mean, as votes on one pair are not independent."""
    sides = {pair: side["contender"] for pair, side in key["pairs"].items()}
    points = {pair: [point(made[pair], side) for made in voters.values() if pair in made] for pair, side in sides.items()}
    voted = [votes for votes in points.values() if votes]
    every = [vote for votes in voted for vote in votes]
    counts = {name: every.count(worth) for name, worth in (("wins", 1), ("ties", 0.5), ("losses", 0))}
    rate = outcome.share([sum(votes) / len(votes) for votes in voted])
    return {"voters": len(voters), "pairs": len(voted), "votes": len(every), **counts, "win rate": rate, "agreement": agreement(voters)}


def agreement(voters: dict) -> dict | None:
    """Percent and Cohen's kappa, each averaged over pairs of voters; None without two voters who share a pair.

    Counted on the sides as shown: that is all that a voter sees, so by chance they agree on sides, not on arms."""
    both = [[(a[pair], b[pair]) for pair in a if pair in b] for a, b in combinations(voters.values(), 2)]
    both = [votes for votes in both if votes]
    if not both:
        return None
    kappas = [value for value in map(kappa, both) if value is not None]
    return {
        "pairs of voters": len(both),
        "percent": 100 * sum(same(votes) for votes in both) / len(both),
        "kappa": sum(kappas) / len(kappas) if kappas else None,
        "pairs of voters with a kappa": len(kappas),
    }


def same(votes: list) -> float:
    return sum(a == b for a, b in votes) / len(votes)


def kappa(votes: list) -> float | None:
    """Cohen's kappa of two voters; None where chance alone explains everything (both chose one side throughout)."""
    chance = sum(sum(a == choice for a, _ in votes) * sum(b == choice for _, b in votes) for choice in CHOICES) / len(votes) ** 2
    return (same(votes) - chance) / (1 - chance) if chance < 1 else None
