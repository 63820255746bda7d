"""A blind sheet for people: which arm do they find the better friend?

    python sheet.py make --pairs 20                  # sheet.html for the voters, key.json for nobody but you
    python sheet.py tally KEY.json VOTES.json…       # what the voters saved

The page is one file, works offline and sends nothing; a voter opens it, votes, saves a file and sends it back."""

import argparse
import json
import sys
from pathlib import Path

from dataset.problem import Problem, exit_code
from judging import outcome, page, transcripts, votes


def make(options: argparse.Namespace) -> None:
    """Writes page and key; a key that votes may still need is not written over."""
    base, adapter = (transcripts.read(path) for path in (options.base, options.adapter))
    html, key = page.blind(transcripts.pairs(adapter, base, options.unit), options.pairs, options.seed)
    path = options.out / "key.json"
    if path.exists() and votes.read_key(path)["sheet"] != key["sheet"]:
        raise Problem(f"{path} is the key of another sheet", "Without it that sheet's votes cannot be counted; give another folder with --out.")
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    (options.out / "sheet.html").write_text(html, encoding="utf-8", errors="replace")
    print(f"{options.out / 'sheet.html'}: {options.pairs} pairs, sheet {key['sheet']}; send it to the voters")
    print(f"{path}: which side is the adapter; keep it from them")


def tally(options: argparse.Namespace) -> None:
    key = votes.read_key(options.key)
    made = votes.tally(votes.read_all(options.votes, key), key)
    if options.out:
        options.out.write_text(json.dumps({"sheet": key["sheet"], **made}, indent=1) + "\n", encoding="utf-8")
    print(shown(made))


def shown(made: dict) -> str:
    """A table, and how far the voters agree."""
    columns = ["", "voters", "pairs", "votes", "wins", "ties", "losses"]
    row = ["adapter against base", *(made[column] for column in columns[1:]), outcome.percent(made["win rate"])]
    table = outcome.markdown([*columns, "win rate, ties half (95%, over pairs)"], [row])
    agreed = made["agreement"]
    if not agreed:
        return table + "\nAgreement: needs two voters on the same pairs."
    left = agreed["pairs of voters"] - agreed["pairs of voters with a kappa"]
    kappa = "undefined" if agreed["kappa"] is None else f"{agreed['kappa']:.2f}" + (f" (undefined for {left})" if left else "")
    return table + f"\nAgreement (pairs of voters: {agreed['pairs of voters']}): {agreed['percent']:.0f}%, Cohen's kappa {kappa}."


def arguments_of(arguments: list | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("make", help="write a sheet and its key")
    made.set_defaults(run=make)
    made.add_argument("--base", type=Path, default=transcripts.FOLDER / "base.transcripts.json")
    made.add_argument("--adapter", type=Path, default=transcripts.FOLDER / "adapter.transcripts.json")
    made.add_argument("--out", type=Path, default=transcripts.FOLDER / "sheet")
    made.add_argument("--unit", choices=("talks", "replies"), default="talks", help="whole talks, or their first replies only")
    made.add_argument("--pairs", type=int, default=20, metavar="N")
    made.add_argument("--seed", type=int, default=1)
    made = commands.add_parser("tally", help="count saved votes")
    made.set_defaults(run=tally)
    made.add_argument("key", type=Path)
    made.add_argument("votes", type=Path, nargs="+")
    made.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON, too")
    return parser.parse_args(arguments)


def main(arguments: list | None = None) -> int:
    options = arguments_of(arguments)
    return exit_code(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
