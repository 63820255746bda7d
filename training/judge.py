"""Which arm another model finds the better friend: every pair is asked for twice, with the sides swapped, and counts only where both
answers agree.

    JUDGE_API_KEY=… python judge.py --url https://HOST/v1 --judge MODEL --control shuffled random echo

Any OpenAI-compatible server does, also one on this machine (no key needed). The talks are sent to it. A stopped run goes on with the
same command: each verdict is kept in OUT/verdicts.jsonl as it comes."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import controls
from dataset.problem import exit_code
from judging import asking, outcome, prompt, transcripts
from judging.verdicts import Verdicts, key

# What must lose to the adapter, or the judge is not to be believed.
CONTROLS = {"shuffled": transcripts.shuffled, "random": transcripts.drawn, "echo": transcripts.echo}


def called(control: str) -> str:
    return f"adapter, {controls.NAMES[control]}, against adapter"


def comparisons(options: argparse.Namespace) -> dict:
    """{name: pairs}: the adapter against the base, and the controls that are asked for against the adapter."""
    base, adapter = (transcripts.read(path)[: options.most] for path in (options.base, options.adapter))
    made = {"adapter against base": transcripts.pairs(adapter, base, options.unit)}
    for control in options.control:
        others = transcripts.pairs(CONTROLS[control](adapter), adapter, options.unit)
        made[called(control)] = [dataclasses.replace(pair, name=f"{control}-{pair.name}") for pair in others]
    return made


def questions(pairs: list, judge: str) -> list:
    """[(key, messages)], both orders of each pair."""
    asked = [(pair, order, prompt.messages(pair, order)) for pair in pairs for order in (1, 2)]
    return [(key(pair.name, order, judge, messages), messages) for pair, order, messages in asked]


def result(entries: list) -> dict:
    """One comparison, from the entries of both orders of each pair, in turn."""
    told = [entry["verdict"] for entry in entries]
    both = list(zip(told[::2], told[1::2]))
    valid = [pair for pair in both if None not in pair]
    return outcome.summary([prompt.point(*pair) for pair in both]) | {
        # One value a pair: its two verdicts are of the same talks, not of two.
        "first position won": outcome.share([won.count("A") / len(won) for pair in both if (won := [verdict for verdict in pair if verdict in ("A", "B")])]),
        "orders agree": outcome.share([pair in (("A", "B"), ("B", "A"), ("C", "C")) for pair in valid]),
        "tokens in": sum(entry["tokens_in"] for entry in entries),
        "tokens out": sum(entry["tokens_out"] for entry in entries),
    }


def judged_control(results: dict) -> tuple:
    """(whether the verdicts may be published, why); None where no control was judged."""
    rates = {control: results[called(control)]["win rate"] for control in CONTROLS if called(control) in results}
    if not rates:
        return None, "No control was judged. Run it with --control shuffled random echo before any of this is published."
    if failed := [control for control, rate in rates.items() if not rate or rate[2] >= 0.5]:
        return False, ("This judge's verdicts are not to be published: "
                       + "; ".join(f"{controls.NAMES[control]} did not lose to the right ones (win rate {outcome.percent(rates[control])})" for control in failed)
                       + "; the upper end must be below 50%.")
    left = [control for control in CONTROLS if control not in rates]
    missing = f" Not judged: {', '.join(left)}." if left else ""
    return True, f"What must lose lost: {', '.join(controls.NAMES[control] for control in rates)}.{missing}"


def table(made: dict) -> str:
    columns = ["", "pairs", "wins", "ties", "losses", "invalid", "win rate, ties half (95%)", "orders agree", "first position won"]
    rows = []
    for name, one in made["comparisons"].items():
        counts = [one[column] for column in columns[1:6]]
        rows.append([name, *counts, *(outcome.percent(one[share]) for share in ("win rate", "orders agree", "first position won"))])
    told = f"Judge: {made['judge']}; {made['unit']}; each pair asked in both orders, a win only where they agree."
    return f"{outcome.markdown(columns, rows)}\n{told} {made['note']}\n"


def run(options: argparse.Namespace) -> None:
    asked = {name: questions(pairs, options.judge) for name, pairs in comparisons(options).items()}
    options.out.mkdir(parents=True, exist_ok=True)
    verdicts = Verdicts(options.out / "verdicts.jsonl", prompt.FORM.verdicts)
    if not asking.ask([question for group in asked.values() for question in group], verdicts, prompt.FORM, options):
        return
    results = {name: result([verdicts.known[name] for name, _ in group]) for name, group in asked.items()}
    publishable, note = judged_control(results)
    made = {"judge": options.judge, "unit": options.unit, "comparisons": results, "publishable": publishable, "note": note}
    (options.out / "results.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    (options.out / "table.md").write_text(table(made), encoding="utf-8")
    print(table(made))


def arguments_of(arguments: list | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.options(parser, max_tokens=400)
    parser.add_argument("--base", type=Path, default=transcripts.FOLDER / "base.transcripts.json")
    parser.add_argument("--adapter", type=Path, default=transcripts.FOLDER / "adapter.transcripts.json")
    parser.add_argument("--out", type=Path, default=transcripts.FOLDER / "judge")
    parser.add_argument("--unit", choices=("talks", "replies"), default="talks", help="whole talks, or their first replies only")
    parser.add_argument("--control", nargs="+", choices=CONTROLS, default=[], help="also judge against the adapter's replies what must lose to them: its own, shuffled among persons; replies of other dialogues; the messages themselves")
    parser.add_argument("--most", type=int, metavar="N", help="only the first N persons")
    return parser.parse_args(arguments)


def main(arguments: list | None = None) -> int:
    options = arguments_of(arguments)
    return exit_code(lambda: run(options), "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
