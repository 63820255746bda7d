"""How often a sad message is comforted and a glad one shared: another model reads each reply by itself and says yes or no.

    JUDGE_API_KEY=… python grade.py --url https://HOST/v1 --judge MODEL --arms base adapter

It reads the transcripts of the last `make evaluate`: the first reply to each person who begins sad or glad, and to each message of
training/evaluation/feelings.jsonl. Mixed with them are controls: what somebody else of the same feeling was answered, what a friend says in a dialogue about something
else, and the message itself. The texts are sent to the server. A stopped run goes on with the same command: each verdict is kept in OUT/verdicts.jsonl as it
comes."""

import argparse
import json
import random
import sys
from pathlib import Path

import controls
from dataset.problem import Problem, exit_code
from judging import alone, asking, outcome, transcripts
from judging.verdicts import Verdicts, key

MEASURES = {"sadness": "comforts after sadness", "joy": "shares the joy after joy"}


def felt(talks: list, emotion: str) -> list:
    """The first turn of the talks that begin with this emotion; flirting aside, where nobody tells news that could be shared."""
    found = [transcripts.Talk(talk.said[:1], talk.replies[:1]) for talk, opening in zip(talks, transcripts.openings(talks)) if (opening["emotion"], opening["mode"] != "FLIRT") == (emotion, True)]
    if len(found) < 2:
        raise Problem(f"{len(found)} of {len(talks)} talks begin with {emotion}: too few to swap replies", "Evaluate without --quick, or with a larger one.")
    return found


def cases(arms: dict) -> dict:
    """{emotion: {arm: {kind: talks of one turn}}}. Replies are shuffled among people of one feeling only: to another sad message a
    kind answer is no comfort, if it is not about what this person wrote."""
    made = {}
    for emotion in MEASURES:
        own = {arm: felt(talks, emotion) for arm, talks in arms.items()}
        made[emotion] = {arm: {"replies": talks, "shuffled": transcripts.shuffled(talks), "random": transcripts.drawn(talks), "echo": transcripts.echo(talks)} for arm, talks in own.items()}
    return made


def asked_as(emotion: str, talk: transcripts.Talk, judge: str) -> tuple:
    """(key, messages) of one reply. Nothing tells the arm or the kind, and the same text is the same question."""
    messages = alone.messages(emotion, talk.said[0], talk.replies[0])
    return key(emotion, 1, judge, messages), messages


def questions(made: dict, judge: str) -> list:
    """All of them in a random order, so that a judge's mood falls on all arms alike."""
    found = [asked_as(emotion, talk, judge) for emotion, arms in made.items() for kinds in arms.values() for talks in kinds.values() for talk in talks]
    random.Random(0).shuffle(found)
    return found


def told(made: dict, known: dict, judge: str) -> tuple:
    """({arm: {measure: what controls.tell gives}}, persons left out as a verdict is missing about a reply or a control, in any arm)."""
    results, missing = {arm: {} for arm in next(iter(made.values()))}, 0
    for emotion, arms in made.items():
        said = {(arm, kind): [known[asked_as(emotion, talk, judge)[0]]["verdict"] for talk in talks]
                for arm, kinds in arms.items() for kind, talks in kinds.items()}
        whole = [n for n, verdicts in enumerate(zip(*said.values())) if None not in verdicts]
        if not whole:
            raise Problem(f"the judge gave no clear verdict about anybody's {emotion}", "Look at its answers in verdicts.jsonl; raise --max-tokens if they are cut, and give another --out to ask again.")
        missing += len(next(iter(said.values()))) - len(whole)
        for arm, kinds in arms.items():
            values = {kind: [said[arm, kind][n] == "yes" for n in whole] for kind in kinds}
            results[arm][f"{MEASURES[emotion]} ({len(whole)} persons)"] = controls.tell(values)
    return results, missing


def table(results: dict, judge: str, missing: int) -> str:
    """What may be told, the differences, and what is left out, in Markdown."""
    parts = []
    if rows := controls.rows(results):
        parts.append(outcome.markdown(["", *results], rows))
    if differences := controls.differences(results):
        parts.append(outcome.markdown(["the same persons paired", "difference (95% interval by bootstrap)"], differences))
    if left_out := controls.notes(results):
        parts.append(controls.left_out(left_out))
    left = f" {missing} persons are left out, as a verdict about them is missing." if missing else ""
    parts.append(f"Judge: {judge}, which saw one message and one reply at a time.{left}\n")
    return "\n".join(parts)


def run(options: argparse.Namespace) -> None:
    if len(set(options.arms)) < len(options.arms):
        raise Problem(f"an arm is named twice: {' '.join(options.arms)}", "Name each once, the base first.")
    paths = {arm: options.transcripts / f"{arm}.transcripts.json" for arm in options.arms}
    arms = {arm: transcripts.read(path) + transcripts.read(path, "feelings") for arm, path in paths.items()}
    first, *others = arms.values()
    for other in others:
        transcripts.pairs(other, first)  # Tells if they are of different talks.
    made = cases(arms)
    out = options.out or options.transcripts / "grades"
    out.mkdir(parents=True, exist_ok=True)
    verdicts = Verdicts(out / "verdicts.jsonl", alone.FORM.verdicts)
    if not asking.ask(questions(made, options.judge), verdicts, alone.FORM, options):
        return
    results, missing = told(made, verdicts.known, options.judge)
    text = table(results, options.judge, missing)
    (out / "results.json").write_text(json.dumps({"judge": options.judge, "left out": missing, "arms": results}, indent=1), encoding="utf-8")
    (out / "table.md").write_text(text, encoding="utf-8")
    print(text)


def main(arguments: list | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.options(parser, max_tokens=200)
    parser.add_argument("--arms", nargs="+", default=["base", "adapter"], metavar="ARM", help="as `make evaluate` named them, the base first (base adapter)")
    parser.add_argument("--transcripts", type=Path, default=transcripts.FOLDER, metavar="FOLDER", help="where ARM.transcripts.json are")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where verdicts and table go (grades, beside the transcripts)")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
