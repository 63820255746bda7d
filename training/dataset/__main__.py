"""python -m dataset convert|report|gates|reference|kind: makes and checks dialogue sets. training/README.md tells how."""

import argparse
import sys
from pathlib import Path

from . import gates, kind, reference, store
from .overlap import Overlap
from .problem import Problem
from .prompts import ROOT
from .report import leaks, report
from .split import split


def convert(options) -> None:
    overlap = Overlap()
    dialogues = sorted((d for file in options.files for d in store.read(file)), key=lambda d: (d.mode, d.topic))
    kept = []
    for dialogue in dialogues:
        if texts := overlap.of(dialogue):
            print(f"left out: {dialogue.id}, as an evaluation set holds “{texts[0]}”")
        else:
            kept.append(dialogue)
    if options.out.suffix == store.JSONL:
        store.write(options.out, store.named(kept))
    else:
        made = {options.out / f"{mode.lower()}{store.TEXT}": [d for d in kept if d.mode == mode] for mode in store.MODES}
        # What does not fit the form is told before any file is replaced.
        for path, chosen in made.items():
            store.text_of(path, chosen)
        for path, chosen in made.items():
            store.write(path, chosen) if chosen else path.unlink(missing_ok=True)
    print(f"{len(kept)} dialogues written to {options.out}")


def show_report(options) -> None:
    dialogues = store.read_all(options.path)
    print(report(dialogues, Overlap()))
    train, test = split(dialogues)
    print(f"held out            {len(test)} of {len(dialogues)}; nearly the same on both sides: {len(leaks(train, test))}")


def run_gates(options) -> None:
    results = gates.run(store.read_all(options.path), Overlap(), options.least, options.least_turns)
    print(gates.show(results))
    failed = sum(not passed for *_, passed in results)
    if failed:
        raise Problem(f"{failed} of {len(results)} gates failed", "Mend the dialogues; `report` names duplicates and overlaps.")


def make_reference(options) -> None:
    train, validation, counts = reference.build(options.data)
    if options.original and (wrong := reference.difference(counts)):
        raise Problem("these are not the original files, or they were read wrongly", *wrong, "Without --original any counts are accepted.")
    reference.write(options.out / "train.jsonl", train)
    reference.write(options.out / "validation.jsonl", validation)
    print(f"counts: {counts}; {reference.duplicates(train)} duplicates in training")
    print("licence: non-commercial (EmpatheticDialogues CC BY-NC 4.0, DailyDialog CC BY-NC-SA 4.0); do not commit these files")


def make_kind(options) -> None:
    parts, left = kind.build(options.data)
    for part, dialogues in parts.items():
        store.write(options.out / f"{part}.jsonl", dialogues)
    print(", ".join(f"{part} {len(dialogues)}" for part, dialogues in parts.items()) + f"; {left} left out: they stand in another part")
    print("licence: non-commercial (EmpatheticDialogues CC BY-NC 4.0, DailyDialog CC BY-NC-SA 4.0); do not commit these files")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="dataset", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name, run, **arguments):
        made = commands.add_parser(name, **arguments)
        made.set_defaults(run=run)
        return made

    made = command("convert", convert, help="sorts sets into one, without what touches an evaluation set")
    made.add_argument("files", nargs="+", type=Path)
    made.add_argument("--out", type=Path, required=True, help="FILE.jsonl, or a folder whose general, warm, flirt and fix.txt are replaced")
    for name, run, text in (("report", show_report, "what a set is like"), ("gates", run_gates, "the quality gates")):
        made = command(name, run, help=text)
        made.add_argument("path", nargs="?", type=Path, default=ROOT / "training/dialogues")
        made.add_argument("--least", type=int, default=800, help="fewest dialogues that pass")
        made.add_argument("--least-turns", type=int, default=4, help="fewest turns of a dialogue that pass (both sides' counted)")
    for name, run, text in (("reference", make_reference, "the reference's set"), ("kind", make_kind, "the same data without its faults")):
        made = command(name, run, help=text)
        made.add_argument("data", type=Path, help="folder with empatheticdialogues/ and dailydialog/")
        made.add_argument("--out", type=Path, default=ROOT / f"target/training-data/{name}")
        if name == "reference":
            made.add_argument("--original", action="store_true", help="the counts must be the original files'")
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
