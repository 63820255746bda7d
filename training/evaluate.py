"""Whether an adapter makes a better friend: python evaluate.py [--adapter shipped|FILE.gguf …] [--out FOLDER] [--quick N]

All arms, the base and each adapter, run in the bot's own engine on the file that is served. Nothing here was trained on. Adapters
of several seeds get a table of their spread. Stopped, the same command goes on with the arm that it was at."""

import argparse
import html
import json
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import controls
import embedding
import kept
import measures
import scorer
import spread
from dataset.mixture import Mixture
from dataset.problem import Problem, exit_code
from dataset.prompts import ROOT, shipped_persona
from engine import Engine, modes, scores
from judging import outcome, transcripts

NEGATIVE = ("anger", "disgust", "fear", "sadness")


def some(entries: list, most: int | None) -> list:
    """At most so many, from all of the list: the lists are sorted by mode, or by what they ask for."""
    count = len(entries) if most is None else min(most, len(entries))
    return [entries[i * len(entries) // count] for i in range(count)]


def probes(name: str, most: int | None = None) -> list:
    lines = (transcripts.PROBES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return some([json.loads(line) for line in lines if line.strip()], most)


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


class Facts:
    """What the arm knows: each probe's replies, and whether they hold what was asked for."""

    ARTHUR = {"name": ["arthur"], "job": ["designer", "i design ", "in design "], "city": ["san francisco", "sf"], "age": ["20", "twenty"]}

    def __init__(self, engine: Engine, most: int | None, seed: int):
        self.engine, self.most, self.seed = engine, most, seed
        self.shares, self.controlled, self.replies = {}, {}, {}

    def ask(self, said: list, **more) -> dict:
        return ask(said, seed=self.seed, **more)

    def replied(self, name: str, asked: list) -> list:
        replies = [replied["reply"] for replied in self.engine.replies(asked)]
        self.replies[name] = [{"asked": a["turns"][-1]["text"], "reply": r} for a, r in zip(asked, replies)]
        return replies

    def probe(self, name: str, asked: list, expected: list) -> list:
        return [measures.holds(r, e) for r, e in zip(self.replied(name, asked), expected)]

    def identity(self) -> None:
        asked = probes("identity", self.most)
        hits = self.probe("identity", [self.ask([p["text"]]) for p in asked], [self.ARTHUR[p["fact"]] for p in asked])
        self.shares["identity"] = measures.share(hits)
        for fact in self.ARTHUR:
            own = [hit for hit, p in zip(hits, asked) if p["fact"] == fact]
            self.shares[f"identity, {fact} ({len(own)} probes)"] = measures.share(own)

    def strangers(self) -> None:
        """Personas that nobody trained on, asked for their own name and job."""
        people, questions = probes("personas", self.most), probes("identity")
        leaks = [[] for _ in people]
        for fact, expected in (("name", lambda p: p["name"]), ("job", lambda p: p["job"].split()[-1][:6])):
            texts = [q["text"] for q in questions if q["fact"] == fact]
            asked = [self.ask([texts[i % len(texts)]], intro=p["intro"]) for i, p in enumerate(people)]
            self.shares[f"own {fact}"] = measures.share(self.probe(f"own {fact}", asked, [[expected(p)] for p in people]))
            for own, told in zip(leaks, self.replies[f"own {fact}"]):
                own.append(measures.holds(told["reply"], ["arthur"]))
        # One value a persona, as its two replies are not two personas'.
        self.shares["Arthur leaks"] = measures.share([sum(own) / len(own) for own in leaks])

    def memory(self) -> None:
        asked = probes("memory", self.most)
        expected = [p["expect"] for p in asked]
        used = self.probe("memory used", [self.ask(p["turns"], memory=p["memory"]) for p in asked], expected)
        guessed = self.probe("memory guessed without it", [self.ask(p["turns"]) for p in asked], expected)
        self.controlled["memory used"] = controls.tell({"replies": used, "unaided": guessed})

    def recall(self) -> None:
        asked = probes("recall", self.most)
        history = [[p["turns"][0]] for p in asked]
        for turn in range(1, 3):
            for said, replied, p in zip(history, self.engine.replies([self.ask(said) for said in history]), asked):
                # The fact must come from the person's message, not from an echo of ours.
                said += [replied["reply"] or "…", p["turns"][turn]]
        self.shares["recalled"] = measures.share(self.probe("recalled", [self.ask(s) for s in history], [p["expect"] for p in asked]))

    def honesty(self) -> None:
        name, asked = "says that he is a bot", [self.ask([p["text"]]) for p in probes("honesty", self.most)]
        self.shares[name] = measures.share([measures.honest(reply) for reply in self.replied(name, asked)])

    def all(self) -> "Facts":
        for step in (self.identity, self.strangers, self.memory, self.recall, self.honesty):
            step()
        return self


def behaviour(logs: list) -> dict:
    """Shares over all replies of scripted talks. Each talk gives one value, as a person's four replies are not four persons'."""
    times = Counter(reply for log in logs for _, reply, _ in log)

    def of(counts) -> tuple:
        return measures.share([sum(counts(reply, cut) for _, reply, cut in log) / len(log) for log in logs])

    return {
        "in character": of(lambda reply, _: measures.in_character(reply)),
        "with a question": of(lambda reply, _: "?" in reply),
        "8 to 40 words": of(lambda reply, _: 8 <= measures.words(reply) <= 40),
        "cut or empty": of(lambda reply, cut: cut or not reply),
        "template leaks": of(lambda reply, _: measures.leaks(reply)),
        "said once only": of(lambda reply, _: times[reply] == 1),
        "no repeat within a talk": measures.share([len({r for _, r, _ in log}) == len(log) for log in logs]),
    }


def topic(kinds: dict, cosine) -> dict:
    """Whether replies take up the message, a mean for each talk. An echo is on topic, so it is no control here."""
    def of(measure) -> dict:
        mean = lambda talk: sum(measure(r, said) for said, r in zip(talk.said, talk.replies)) / len(talk.said)
        return {kind: [mean(talk) for talk in kinds[kind]] for kind in ("replies", "shuffled", "random") if kind in kinds}

    return {"on topic (words)": controls.tell(of(measures.on_topic)), "on topic (embedding, cosine)": controls.tell(of(cosine), "cosine")}


def feelings(kinds: dict, openings: list, binary: Path) -> dict:
    """How a first message is answered where it is sad or glad, flirting aside: by the bot's own emotion scorer, and by the second judge."""
    def judged(emotion: str, judge) -> dict:
        values = {}
        for kind, talks in kinds.items():
            first = [(talk.said[0], talk.replies[0]) for talk, opening in zip(talks, openings)
                     if opening["emotion"] == emotion and opening["mode"] != "FLIRT"]
            felt = scores(binary, [reply for _, reply in first])
            values[kind] = [judge(said, reply, f) for (said, reply), f in zip(first, felt)]
        return controls.tell(values)

    glad = lambda f: f["joy"] + f["surprise"] > sum(f[label] for label in NEGATIVE)
    return {
        "comfort after sadness": judged("sadness", lambda said, r, f: measures.comforts(r, f)),
        "comfort after sadness, on topic": judged("sadness", lambda said, r, f: measures.comforts(r, f) and measures.on_topic(r, said)),
        "comfort after sadness, second judge": judged("sadness", lambda said, r, f: measures.consoles(r, said)),
        "joy after joy": judged("joy", lambda said, r, f: glad(f)),
        "joy after joy, second judge": judged("joy", lambda said, r, f: measures.shares_joy(r)),
    }


def losses(engine: Engine, dialogues: Path, most: int | None, whole: bool = False) -> dict:
    """Loss of the held-out dialogues by mode, or of the `whole` set; and with other personas' facts in the prompt, for those that need
    them."""
    everything = Mixture(dialogues, {}).held_out(whole)
    if not everything:
        raise Problem(f"no dialogue of {dialogues} is held out", "A tenth of the subjects is (training/dataset/split.py); --all takes every dialogue, where none was trained on.")
    held = some(everything, most)
    instructions = {mode: table["instruction"] for mode, table in shipped_persona()["modes"].items()}

    def line(example, intro=None):
        known = example.system.split("\nWhat you know about the person: ")
        own = known[0][: -len(instructions[example.mode]) - 1]
        memory = [known[1][:-1]] if len(known) > 1 else []
        turns = [{"who": who, "text": text} for who, text in example.turns]
        return {"mode": example.mode, "intro": intro or own, "memory": memory, "turns": turns}

    told = {"by mode": engine.loss([line(e) for e in held])}
    if named := [e for e in everything if "arthur" in " ".join(text for who, text in e.turns if who == "friend").lower()]:
        strangers, chosen = [persona["intro"] for persona in probes("personas")], some(named, most)
        right = engine.loss([line(e) for e in chosen])["ALL"]["loss"]
        wrong = engine.loss([line(e, strangers[n % len(strangers)]) for n, e in enumerate(chosen)])["ALL"]["loss"]
        told["wrong persona costs"] = wrong - right
    return told


def table(arms: dict) -> str:
    """All measures that may be told, the arms beside each other, in Markdown; then differences, and what is left out and why."""
    names = list(arms)
    loss = lambda told: f"{told['loss']:.3f} ({told['perplexity']:.1f})"
    rows = [[f"reply loss, {mode} (nats a token; perplexity)", *(loss(arm["losses"]["by mode"][mode]) for arm in arms.values())]
            for mode in sorted(arms[names[0]]["losses"]["by mode"])]
    if "wrong persona costs" in arms[names[0]]["losses"]:
        rows.append(["a wrong persona costs (nats a token)", *(f"{arm['losses']['wrong persona costs']:.3f}" for arm in arms.values())])
    rows += [[key, *(outcome.percent(arm["facts"][key]) for arm in arms.values())] for key in arms[names[0]]["facts"]]
    controlled = {name: arm.get("controlled", {}) for name, arm in arms.items()}
    rows += controls.rows(controlled)
    rows += [[key, *(outcome.percent(arm["behaviour"][key]) for arm in arms.values())] for key in arms[names[0]]["behaviour"]]
    left_out, note = controls.notes(controlled), []
    if "scorer" in arms[names[0]]:
        scored = {name: arm["scorer"] for name, arm in arms.items()}
        if controls.likelier(scored):
            left_out.append(controls.likelier_note(scored))
        else:
            rows += scorer.rows(arms)
            note = [f"{scorer.NOTE}\n"]
    parts = [outcome.markdown(["", *names], rows), *note]
    if differences := controls.differences(controlled):
        parts.append(outcome.markdown(["the same persons paired", "difference (95% interval by bootstrap)"], differences))
    if left_out:
        parts.append(controls.left_out(left_out))
    return "\n".join(parts)


def excerpts(logs: dict, openings: list, seed: int, count: int = 4) -> str:
    """Some talks in full, the arms beside each other, in Markdown: drawn by the seed, so that nobody chooses them."""
    chosen = sorted(random.Random(seed).sample(range(len(openings)), min(count, len(openings))))
    cell = lambda text: html.escape(" ".join(text.split()), quote=False) or transcripts.EMPTY
    parts = [f"{len(chosen)} of {len(openings)} talks, drawn by `random.Random({seed})`, not chosen.\n"]
    for number in chosen:
        turns = zip(*(log[number] for log in logs.values()))
        rows = [[cell(same[0][0]), *(cell(reply) for _, reply, _ in same)] for same in turns]
        parts += [f"{openings[number]['mode']}:\n", outcome.markdown(["person", *logs], rows)]
    return "\n".join(parts)


def measured(engine: Engine, options, openings: list, encoder) -> tuple:
    """(figures, talks, replies to the probes) of one arm."""
    say = lambda what: print(f"{engine.name}: {what}", file=sys.stderr)
    say("losses")
    arm = {"losses": losses(engine, options.dialogues, options.quick, options.all)}
    say("facts")
    known = Facts(engine, options.quick, options.seed).all()
    say("talks")
    logs = talks(engine, openings, options.seed)
    more = probes("feelings", options.quick)
    # As the bot would: it answers in GENERAL where its scorer does not notice the feeling.
    chosen = modes(options.binary, [opening["turns"][0] for opening in more])
    answered = talks(engine, [opening | {"mode": mode} for opening, mode in zip(more, chosen)], options.seed)
    firsts = controls.variants([log[:1] for log in logs] + answered)
    controlled = known.controlled | topic(controls.variants(logs), encoder.cosine) | feelings(firsts, openings + more, options.binary)
    shares = {"facts": known.shares, "controlled": controlled, "behaviour": behaviour(logs)}
    return {"arm": arm | shares, "talks": logs, "feelings": answered, "facts": known.replies}


def arms_of(adapters: list) -> dict:
    """{arm: adapter}: the base, and one called adapter, or each by its file's name."""
    named = ["adapter"] if len(adapters) == 1 else [Path(adapter).stem for adapter in adapters]
    arms = {"base": "none", **dict(zip(named, adapters))}
    if len(arms) <= len(adapters):
        raise Problem(f"the adapters' files need different names, and none may be base: {', '.join(named)}", "Rename or copy them, such as seed-1.gguf and seed-2.gguf.")
    if gone := [adapter for adapter in adapters if adapter != "shipped" and not Path(adapter).is_file()]:
        raise Problem(f"there is no adapter {gone[0]}", "Name a LoRA in GGUF, as `make train` writes it, or `shipped`.")
    return arms


def run(options) -> None:
    wanted = arms_of(options.adapter)
    options.out.mkdir(parents=True, exist_ok=True)
    other = scorer.engine_of(options.binary, options.scorer) if options.scorer else None
    everybody = probes("openings")
    encoder = embedding.Encoder([opening["turns"][0] for opening in everybody])
    openings = everybody[:]
    random.Random(0).shuffle(openings)
    openings = openings[: options.quick]
    arms, said = {}, {}
    sources = [options.binary, *kept.sources(options.dialogues)]
    for name, adapter in wanted.items():
        key = kept.key([*sources, *kept.served(adapter)], {"adapter": adapter in ("none", "shipped") and adapter, "seed": options.seed, "quick": options.quick, "all": options.all})
        place = options.out / f"{name}.measured.json"
        if found := kept.load(place, key):
            print(f"{name}: as measured before ({place})", file=sys.stderr)
        else:
            found = measured(Engine(options.binary, name, adapter), options, openings, encoder)
            kept.save(place, key, found)
        arms[name], said[name] = found["arm"], found["talks"]
        transcript = json.dumps({part: found[part] for part in ("facts", "talks", "feelings")}, indent=1, ensure_ascii=False)
        (options.out / f"{name}.transcripts.json").write_text(transcript, encoding="utf-8")
    if other:
        scorer.add(arms, said, openings, other)
    files = {"results.json": json.dumps(arms, indent=1), "table.md": table(arms), "transcripts.md": excerpts(said, openings, options.seed)}
    if len(arms) > 2:
        files["spread.md"] = spread.table(arms)
    for file, text in files.items():
        (options.out / file).write_text(text, encoding="utf-8")
    print(files["table.md"] + files.get("spread.md", ""))


def main(arguments: list | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", nargs="+", default=["shipped"], help="`shipped`, or a LoRA in GGUF; several, such as of three seeds")
    parser.add_argument("--out", type=Path, default=ROOT / "target/evaluation")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ai-friend")
    parser.add_argument("--dialogues", type=Path, default=ROOT / "training/dialogues", help="whose replies' loss is measured: a .txt or .jsonl, or a folder of them; the tenth of the subjects that is held out")
    parser.add_argument("--all", action="store_true", help="the loss of all of --dialogues: of a set that nothing was trained on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", type=int, metavar="N", help="only N of every list")
    parser.add_argument("--scorer", type=Path, metavar="FILE.gguf", help="also the replies' perplexity under this other model")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
