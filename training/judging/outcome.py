"""From points to a result: 1 for a win of the contender, 0 for a loss, 0.5 for a tie, None for what could not be judged."""

import measures


def share(points: list) -> list | None:
    """[mean, low, high] with the 95% interval by bootstrap, seeded; None of nothing, as JSON has no NaN."""
    return list(measures.share(points)) if points else None


def summary(points: list) -> dict:
    """Counts, and the win rate with ties as half."""
    valid = [point for point in points if point is not None]
    counts = {name: valid.count(worth) for name, worth in (("wins", 1), ("ties", 0.5), ("losses", 0))}
    return {"pairs": len(points), **counts, "invalid": len(points) - len(valid), "win rate": share(valid)}


def percent(found: list | None) -> str:
    """A share and its interval, in words of a table."""
    return "{:.0%} ({:.0%}–{:.0%})".format(*found) if found else "–"


def markdown(columns: list, rows: list) -> str:
    """A table; cells are whatever can be printed."""
    escaped = [[str(cell).replace("|", "\\|") for cell in line] for line in (columns, ["---"] * len(columns), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
