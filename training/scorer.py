"""How fluent another, stronger model finds each arm's replies: its loss and perplexity on them, in the bot's own engine.

    python scorer.py --scorer other.gguf             # on the transcripts of the last `make evaluate`
    make evaluate ARGS="--scorer other.gguf"         # as part of an evaluation

Only the friend's words count (an empty reply as “…”). Lower perplexity is fluency, not kindness: a dull or a cruel reply can be the likelier one, and an echo
often is. So the controls stand beside it: `echo` (the reply is the person's own message) and `shuffled` (somebody else's reply)."""

import argparse
import json
import sys
from pathlib import Path

from dataset.problem import Problem, exit_code
from dataset.prompts import ROOT
from engine import Engine
from judging import outcome, transcripts

NOTE = "Lower perplexity under another model is fluency, not kindness; a reply that is no better than the controls says nothing to the person."
NAMES = {"replies": "", "shuffled": ", replies shuffled (control)", "echo": ", echo (control)"}


def engine_of(binary: Path, model: Path) -> Engine:
    """The engine with the other model, bare; tried at once, as an evaluation comes to it last."""
    if not model.is_file():
        raise Problem(f"there is no scorer at {model}", "--scorer names a .gguf file of a language model that is here.")
    if not binary.is_file():
        raise Problem(f"there is no {binary}", "`make build` makes it; or name it with --binary.")
    engine = Engine(binary, model.name, "none")
    engine.flags += ["--model", str(model.resolve())]
    engine.loss(conversations([transcripts.Talk(("hi",), ("hello",))], ["GENERAL"]))
    return engine


def conversations(talks: list, modes: list) -> list:
    """The talks as `ai-friend evaluate loss` reads them."""
    made = []
    for talk, mode in zip(talks, modes):
        turns = [{"who": who, "text": text} for turn in zip(talk.said, talk.replies) for who, text in zip(("person", "friend"), turn)]
        made.append({"mode": mode, "turns": turns})
    return made


def score(engine: Engine, arms: dict, modes: list) -> dict:
    """{arm: {kind: {mode or ALL: {"conversations", "tokens", "loss", "perplexity"}}}} of each arm's talks and their controls."""
    loss = lambda talks: engine.loss(conversations(talks, modes))
    made = {}
    for name, talks in arms.items():
        print(f"{name}: scorer", file=sys.stderr)
        made[name] = {"replies": loss(talks)}
        if len(talks) > 1:
            made[name]["shuffled"] = loss(transcripts.shuffled(talks))
    # The persons wrote the same to every arm, so one echo serves all.
    same = loss(transcripts.echo(next(iter(arms.values()))))
    return {name: {"model": engine.name, **kinds, "echo": same} for name, kinds in made.items()}


def add(arms: dict, logs: dict, openings: list, engine: Engine) -> None:
    """evaluate.py's part: writes each arm's scores into its results."""
    talks = {name: [transcripts.talk(turns) for turns in log] for name, log in logs.items()}
    for name, scored in score(engine, talks, [opening["mode"] for opening in openings]).items():
        arms[name]["scorer"] = scored


def rows(arms: dict) -> list:
    """[label, a cell for each arm], for every kind and mode."""
    first = next(iter(arms.values()))["scorer"]
    cell = lambda told: f"{told['perplexity']:.1f} ({told['loss']:.3f} nats)"
    return [
        [f"perplexity under {first['model']}, {mode}{NAMES[kind]}", *(cell(arm["scorer"][kind][mode]) for arm in arms.values())]
        for kind in NAMES if kind in first for mode in sorted(first[kind])
    ]


def table(arms: dict) -> str:
    """The scores alone, with what they do not say."""
    return f"{outcome.markdown(['', *arms], rows(arms))}\n{NOTE}\n"


def run(options: argparse.Namespace) -> None:
    talks = {name: transcripts.read(path) for name, path in (("base", options.base), ("adapter", options.adapter))}
    transcripts.pairs(talks["adapter"], talks["base"])  # Tells if they are of different talks.
    modes = [opening["mode"] for opening in transcripts.openings(talks["base"])]
    engine = engine_of(options.binary, options.scorer)
    arms = {name: {"scorer": scored} for name, scored in score(engine, talks, modes).items()}
    options.out.mkdir(parents=True, exist_ok=True)
    told = {"model": engine.name, "note": NOTE, "arms": {name: arm["scorer"] for name, arm in arms.items()}}
    (options.out / "scorer.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (options.out / "scorer.md").write_text(table(arms), encoding="utf-8")
    print(table(arms))


def main(arguments: list | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorer", type=Path, required=True, metavar="FILE.gguf", help="the other model")
    parser.add_argument("--base", type=Path, default=transcripts.FOLDER / "base.transcripts.json")
    parser.add_argument("--adapter", type=Path, default=transcripts.FOLDER / "adapter.transcripts.json")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ai-friend")
    parser.add_argument("--out", type=Path, default=transcripts.FOLDER)
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
