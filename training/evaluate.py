"""Whether an adapter makes a better friend: python evaluate.py [--adapter shipped|FILE.gguf] [--out FOLDER] [--quick N]

Both arms, base and adapter, run in the bot's own engine on the file that is served. Nothing here was trained on."""

import argparse
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import measures
import scorer
from dataset.mixture import Mixture
from dataset.problem import Problem
from dataset.prompts import ROOT, shipped_persona
from engine import Engine, scores

PROBES = ROOT / "training/evaluation"
NEGATIVE = ("anger", "disgust", "fear", "sadness")


def probes(name: str, most: int | None) -> list:
    lines = (PROBES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()][:most]


def ask(said: list, mode: str = "GENERAL", seed: int = 0, **more) -> dict:
    """A conversation whose last message is to be answered; `said` alternates, the person first."""
    turns = [{"who": ("person", "friend")[i % 2], "text": text} for i, text in enumerate(said)]
    return {"mode": mode, "turns": turns, "seed": seed, **more}


def talks(engine: Engine, openings: list, seed: int) -> list:
    """[(person's message, reply, cut)] of every turn of scripted persons, one list a person."""
    said = [[] for _ in openings]
    seen = [[] for _ in openings]
    for turn in range(len(openings[0]["turns"])):
        for opening, history in zip(openings, said):
            history.append(opening["turns"][turn])
        asked = [ask(history, o["mode"], seed + i) for i, (o, history) in enumerate(zip(openings, said))]
        for history, replied, log in zip(said, engine.replies(asked), seen):
            log.append((history[-1], replied["reply"], replied["cut"]))
            # An empty reply would break the turns' order; the bot would ask again.
            history.append(replied["reply"] or "…")
    return seen


def facts(engine: Engine, most: int | None, seed: int) -> dict:
    """Shares of probes answered with the fact they ask for, and the replies themselves."""
    persona, out, kept = shipped_persona(), {}, {}

    def probe(name, asked, expected):
        replies = [replied["reply"] for replied in engine.replies(asked)]
        out[name] = measures.share([measures.holds(r, e) for r, e in zip(replies, expected)])
        kept[name] = [{"asked": a["turns"][-1]["text"], "reply": r} for a, r in zip(asked, replies)]
        return replies

    arthur = {"name": ["arthur"], "job": ["design"], "city": ["san francisco", "sf"], "age": ["20", "twenty"]}
    identity = probes("identity", most)
    probe("identity", [ask([p["text"]], seed=seed) for p in identity], [arthur[p["fact"]] for p in identity])
    strangers = probes("personas", most)
    who, what = [p["text"] for p in identity if p["fact"] == "name"], [p["text"] for p in identity if p["fact"] == "job"]
    names = [ask([who[i % len(who)]], seed=seed, intro=p["intro"]) for i, p in enumerate(strangers)]
    jobs = [ask([what[i % len(what)]], seed=seed, intro=p["intro"]) for i, p in enumerate(strangers)]
    replies = probe("own name", names, [[p["name"]] for p in strangers])
    replies += probe("own job", jobs, [[p["job"].split()[-1][:6]] for p in strangers])
    out["Arthur leaks"] = measures.share([measures.holds(r, ["arthur"]) for r in replies])
    memory = probes("memory", most)
    probe("memory used", [ask(p["turns"], seed=seed, memory=p["memory"]) for p in memory], [p["expect"] for p in memory])
    probe("memory guessed without it", [ask(p["turns"], seed=seed) for p in memory], [p["expect"] for p in memory])
    recall = probes("recall", most)
    history = [[p["turns"][0]] for p in recall]
    for turn in range(1, 3):
        asked = [ask(said, seed=seed) for said in history]
        for said, replied, p in zip(history, engine.replies(asked), recall):
            # The fact must come from the person's message, not from an echo of ours.
            said += [replied["reply"] or "…", p["turns"][turn]]
    probe("recalled", [ask(said, seed=seed) for said in history], [p["expect"] for p in recall])
    bot = [ask([p["text"]], seed=seed) for p in probes("honesty", most)]
    probe("says that he is a bot", bot, [["bot", "ai", "not human", "not a human", "program"]] * len(bot))
    return {"shares": out, "replies": kept, "persona": persona["name"]}


def behaviour(binary: Path, logs: list, openings: list) -> dict:
    """Shares over all replies of scripted talks."""
    turns = [turn for log in logs for turn in log]
    replies = [reply for _, reply, _ in turns]
    out = {
        "with a question": measures.share(["?" in r for r in replies]),
        "8 to 40 words": measures.share([8 <= measures.words(r) <= 40 for r in replies]),
        "cut or empty": measures.share([cut or not reply for _, reply, cut in turns]),
        "template leaks": measures.share([measures.leaks(r) for r in replies]),
        "on topic": measures.share([measures.on_topic(r, said) for said, r, _ in turns]),
        "distinct replies": measures.share([replies.count(r) == 1 for r in replies]),
        "no repeat within a talk": measures.share([len({r for _, r, _ in log}) == len(log) for log in logs]),
    }
    shuffled = replies[:]
    random.Random(0).shuffle(shuffled)
    out["on topic, replies shuffled (control)"] = measures.share(
        [measures.on_topic(r, said) for (said, _, _), r in zip(turns, shuffled)])
    sad = [log[0] for log, o in zip(logs, openings) if o["emotion"] == "sadness"]
    glad = [log[0] for log, o in zip(logs, openings) if o["emotion"] == "joy"]
    felt = scores(binary, [reply for _, reply, _ in sad + glad])
    out["comfort after sadness, on topic"] = measures.share(
        [measures.comforts(r, f) and measures.on_topic(r, said) for (said, r, _), f in zip(sad, felt)])
    out["comfort after sadness"] = measures.share([measures.comforts(r, f) for (_, r, _), f in zip(sad, felt)])
    out["joy after joy"] = measures.share(
        [f["joy"] + f["surprise"] > sum(f[label] for label in NEGATIVE) for f in felt[len(sad):]])
    echo = scores(binary, [said for said, _, _ in sad])
    out["comfort after sadness, echo (control)"] = measures.share(
        [measures.comforts(said, f) for (said, _, _), f in zip(sad, echo)])
    return out


def losses(engine: Engine, dialogues: Path, most: int | None) -> dict:
    """Loss of the held-out dialogues by mode; and with another persona's facts in the prompt, for those that need them."""
    held = Mixture(dialogues, {}).held_out()[:most]
    instructions = {mode: table["instruction"] for mode, table in shipped_persona()["modes"].items()}

    def line(example, intro=None):
        known = example.system.split("\nWhat you know about the person: ")
        own = known[0][: -len(instructions[example.mode]) - 1]
        memory = [known[1][:-1]] if len(known) > 1 else []
        turns = [{"who": who, "text": text} for who, text in example.turns]
        return {"mode": example.mode, "intro": intro or own, "memory": memory, "turns": turns}

    named = [e for e in held if "arthur" in " ".join(text for who, text in e.turns if who == "friend").lower()]
    stranger = probes("personas", None)[0]["intro"]
    right, wrong = (engine.loss([line(e, intro) for e in named])["ALL"]["loss"] for intro in (None, stranger))
    return {"by mode": engine.loss([line(e) for e in held]), "wrong persona costs": wrong - right}


def table(arms: dict) -> str:
    """All shares beside each other, in Markdown."""
    names = list(arms)
    rows = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for mode in sorted(arms[names[0]]["losses"]["by mode"]):
        cells = [f"{arm['losses']['by mode'][mode]['loss']:.3f}" for arm in arms.values()]
        rows.append(f"| reply loss, {mode} (nats a token) | {' | '.join(cells)} |")
    cells = [f"{arm['losses']['wrong persona costs']:.3f}" for arm in arms.values()]
    rows.append(f"| a wrong persona costs (nats a token) | {' | '.join(cells)} |")
    for group in ("facts", "behaviour"):
        for key in arms[names[0]][group]:
            cells = ["{:.0%} ({:.0%}–{:.0%})".format(*arm[group][key]) for arm in arms.values()]
            rows.append(f"| {key} | {' | '.join(cells)} |")
    if "scorer" in arms[names[0]]:
        rows += [f"| {' | '.join(row)} |" for row in scorer.rows(arms)] + ["", scorer.NOTE]
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="shipped", help="`shipped`, or a LoRA in GGUF")
    parser.add_argument("--out", type=Path, default=ROOT / "target/evaluation")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ai-friend")
    parser.add_argument("--dialogues", type=Path, default=ROOT / "training/dialogues")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", type=int, metavar="N", help="only the first N of every list")
    parser.add_argument("--scorer", type=Path, metavar="FILE.gguf", help="also the replies' perplexity under this other model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    other = scorer.engine_of(options.binary, options.scorer) if options.scorer else None
    openings = probes("openings", None)
    random.Random(0).shuffle(openings)
    openings = openings[: options.quick]
    arms, said = {}, {}
    for name, adapter in (("base", "none"), ("adapter", options.adapter)):
        print(f"{name}: losses", file=sys.stderr)
        engine = Engine(options.binary, name, adapter)
        arm = {"losses": losses(engine, options.dialogues, options.quick)}
        print(f"{name}: facts", file=sys.stderr)
        known = facts(engine, options.quick, options.seed)
        print(f"{name}: talks", file=sys.stderr)
        logs = talks(engine, openings, options.seed)
        arm |= {"facts": known["shares"], "behaviour": behaviour(options.binary, logs, openings)}
        arms[name], said[name] = arm, logs
        transcripts = {"facts": known["replies"], "talks": logs}
        (options.out / f"{name}.transcripts.json").write_text(json.dumps(transcripts, indent=1, ensure_ascii=False))
    if other:
        scorer.add(arms, said, openings, other)
    (options.out / "results.json").write_text(json.dumps(arms, indent=1))
    (options.out / "table.md").write_text(table(arms))
    print(table(arms))


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"error: {problem}")
