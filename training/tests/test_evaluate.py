"""The evaluation with a fake engine: what is told, what is left out and why, and what the measures count."""

import json
import math
import random

import pytest

import controls
import embedding
import engine
import evaluate
import kept
import measures
import spread
import tiny
from dataset import store
from dataset.problem import Problem
from dataset.prompts import ROOT
from judging import transcripts

# Intervals.
def test_a_persons_replies_are_not_so_many_persons():
    log = lambda asks: [("hi", "And you?" if asks else "Fine.", False)] * 4
    of_talks = evaluate.behaviour([log(n % 2) for n in range(50)])["with a question"]
    assert of_talks == measures.share([n % 2 for n in range(50)])
    assert of_talks[2] - of_talks[1] > 1.8 * (lambda found: found[2] - found[1])(measures.share([n % 2 for n in range(200)]))


def test_no_share_is_certain():
    assert measures.share([1] * 30) == pytest.approx((1, 0.886, 1), abs=1e-3)
    assert measures.share([False] * 200) == pytest.approx((0, 0, 0.019), abs=1e-3)
    assert measures.mean([0.5] * 9) == (0.5, 0.5, 0.5)


def test_no_difference_is_certain():
    # As sure as a share: of three persons nobody knows much, of one nothing.
    assert measures.difference([1] * 30, [0] * 30) == pytest.approx((1, 1 - 2 * 0.1135, 1), abs=1e-3)
    assert measures.difference([0.5] * 200, [0.5] * 200) == pytest.approx((0, -0.0188, 0.0188), abs=1e-3)
    assert measures.share([0.25] * 200) == pytest.approx((0.25, 0.2453, 0.2641), abs=1e-3)
    for count, sound in ((1, False), (3, False), (4, True)):
        assert controls.sound({"base": arm([1] * count, echo=[0] * count)}) is sound
    # Whoever is drawn, the interval holds what is true about as often as it says: 97 of 100 persons differ by 1.
    rng, held = random.Random(3), 0
    for _ in range(200):
        drawn = [int(rng.random() < 0.97) for _ in range(20)]
        _, low, high = measures.difference(drawn, [0] * 20)
        held += low <= 0.97 <= high
    assert held > 0.8 * 200


def test_a_personas_two_replies_are_not_two_personas():
    facts = evaluate.Facts(FakeEngine(None, "adapter", "a.gguf"), None, 1)
    facts.strangers()
    # This friend says to everybody that he is Arthur.
    assert facts.shares["Arthur leaks"] == measures.share([1] * 20)


def test_a_paired_difference_is_surer_than_two_shares():
    rng = random.Random(1)
    before = [rng.random() for _ in range(60)]
    after = [value + 0.05 + 0.01 * rng.random() for value in before]
    mean, low, high = measures.difference(after, before)
    assert 0.05 < low < mean < high < 0.06
    one, other = measures.share(before), measures.share(after)
    assert one[2] > other[1]  # apart, their intervals overlap
    assert measures.difference(before, after)[2] < 0
    with pytest.raises(ValueError):
        measures.difference(before, after[1:])


# The rule for measures with controls.
def arm(replies, **kinds):
    return controls.tell({"replies": replies, **kinds})


GOOD = {"replies": [1] * 30 + [0] * 10, "echo": [0] * 36 + [1] * 4, "shuffled": [0] * 40}


def test_replies_of_other_dialogues_are_a_control_and_the_same_each_time():
    log = [[(f"message {n}", "hi", False)] for n in range(3)]
    kinds = controls.variants(log)
    assert set(kinds) == {"replies", "shuffled", "random", "echo"} and kinds["random"] == controls.variants(log)["random"]
    replies = [talk.replies[0] for talk in kinds["random"]]
    assert all(reply in transcripts.written_replies() for reply in replies) and not any("{" in reply for reply in replies)


def test_a_measure_that_tells_replies_from_controls_is_told():
    arms = {"base": {"comfort": arm(**GOOD)}, "adapter": {"comfort": arm([1] * 40, echo=[0] * 40, shuffled=[0] * 40)}}
    labels = [row[0] for row in controls.rows(arms)]
    assert labels == ["comfort", "comfort, replies shuffled (control)", "comfort, echo (control)"] and not controls.notes(arms)
    assert controls.rows(arms)[0][2] == "100% (91%–100%)"
    (label, told), = controls.differences(arms)
    assert label == "comfort, adapter − base" and told.startswith("+25 points (+12 to +")


@pytest.mark.parametrize("kind, values, shown", [
    ("echo", [1] * 30 + [0] * 10, "echo (control) 75%"),                  # as good as the replies
    ("echo", [1] * 40, "echo (control) 100%"),                            # better
    ("shuffled", [0] * 12 + [1] * 28, "replies shuffled (control) 70%"),  # below, but within chance
])
def test_a_measure_is_left_out_where_a_control_does_not_rank_below(kind, values, shown):
    # One arm is enough.
    arms = {"base": {"comfort": arm(**GOOD | {kind: values}), "joy": arm(**GOOD)}, "adapter": {"comfort": arm(**GOOD), "joy": arm(**GOOD)}}
    assert [row[0].split(",")[0] for row in controls.rows(arms)] == ["joy"] * 3
    assert [row[0] for row in controls.differences(arms)] == ["joy, adapter − base"]
    note, = controls.notes(arms)
    assert note.startswith("comfort: base 75%, ") and shown in note
    assert note.endswith("; adapter 75%, replies shuffled (control) 0%, echo (control) 10%")


def test_nothing_vouches_for_a_measure_without_persons_or_controls():
    assert not controls.sound({"base": arm([], echo=[])}) and not controls.sound({"base": arm([1] * 9)})
    assert controls.notes({"base": {"joy": arm([1] * 9)}}) == ["joy: base 100%"]


def test_a_likelier_control_is_found():
    def told(replies, echo):
        return {"replies": {"ALL": {"loss": replies}}, "echo": {"ALL": {"loss": echo}}}

    assert controls.likelier({"base": told(2.0, 2.5), "adapter": told(2.0, 2.0)}) == [("adapter", "echo")]


# Likeness of texts, with the shipped file.
def related(layer):
    """How often a written reply is more like its own message than like another of the same mode."""
    wins = []
    for mode in ("fix", "warm"):
        pairs = [[text for _, text, _ in d.turns[:2]] for d in store.read(ROOT / f"training/dialogues/{mode}.txt")[::4][:30]]
        encoder = embedding.Encoder([said for said, _ in pairs], layer=layer)
        wins += [encoder.cosine(said, reply) > encoder.cosine(other, reply) for said, reply in pairs for other, _ in pairs if other != said]
    return sum(wins) / len(wins)


def test_the_embedding_tells_topics_apart_better_than_the_scorers_last_layer():
    assert related(embedding.LAYER) > max(0.75, related(5))


def test_a_cosine_is_one_of_the_same_text_and_of_nothing_is_sound():
    encoder = embedding.Encoder(["hi there", "the soup was cold"])
    assert encoder.cosine("my cat is ill", "my cat is ill") == pytest.approx(1)
    assert encoder.cosine("my cat is ill", "the kitten is sick") > encoder.cosine("my cat is ill", "the train was late")
    assert all(math.isfinite(encoder.cosine(text, "hi there")) for text in ("", "…", "word " * 3000))


# The whole evaluation.
class FakeEngine:
    """The adapter consoles, takes up words and knows who it is; the base says the same to everybody."""

    def __init__(self, binary, name, adapter):
        self.name, self.adapter = name, adapter

    def replies(self, conversations):
        return [{"reply": self.reply(c) if self.adapter != "none" else "Hello.", "tokens": 3, "cut": False} for c in conversations]

    def reply(self, conversation):
        said = conversation["turns"][-1]["text"]
        if "memory" in conversation:
            return f"You told me: {conversation['memory']}"
        return f"Oh no, “{said}”? That must hurt. I'm Arthur." if len(conversation["turns"]) == 1 else f"And {said}, then?"

    def loss(self, conversations):
        return {mode: {"conversations": 1, "tokens": 9, "loss": 2.5, "perplexity": 12.2} for mode in ("ALL", "FIX")}


class FakeEncoder:
    def __init__(self, reference):
        self.reference = reference

    def cosine(self, one, other):
        return float(one in other or other in one)


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """Runs the evaluation, and gives its folder."""
    monkeypatch.setattr(evaluate, "Engine", FakeEngine)
    monkeypatch.setattr(evaluate.embedding, "Encoder", FakeEncoder)
    monkeypatch.setattr(evaluate, "losses", lambda engine, *_: {"by mode": engine.loss([]), "wrong persona costs": 0.1})
    calm = {label: 0.0 for label in ("anger", "disgust", "fear", "joy", "sadness", "surprise")}
    monkeypatch.setattr(evaluate, "scores", lambda _, texts: [calm for _ in texts])
    monkeypatch.setattr(evaluate, "modes", lambda _, texts: ["GENERAL" if len(text) % 2 else "FIX" for text in texts])

    (tmp_path / "a.gguf").write_bytes(b"one")

    def run(*more, adapters=("a.gguf",)):
        assert evaluate.main(["--adapter", *(str(tmp_path / name) for name in adapters), "--out", str(tmp_path), *more]) == 0
        return tmp_path

    return run


def rows_of(folder):
    lines = (folder / "table.md").read_text().splitlines()
    return {cells[0]: cells[1:] for line in lines if line.startswith("|") for cells in [line.strip("| ").split(" | ")]}


def test_the_table_has_identity_by_fact(evaluated):
    rows = rows_of(evaluated())
    assert {name: rows[name][1][:4] for name in rows if name.startswith("identity")} == {
        "identity": "30% ", "identity, name (30 probes)": "100%", "identity, job (30 probes)": "0% (", "identity, city (25 probes)": "0% (",
        "identity, age (15 probes)": "0% ("}


def test_a_quick_evaluation_asks_for_every_fact(evaluated):
    rows = rows_of(evaluated("--quick", "20"))
    assert {"identity, name (6 probes)", "identity, job (6 probes)", "identity, city (5 probes)", "identity, age (3 probes)"} <= set(rows)


def test_a_few_are_taken_from_all_of_a_list():
    assert evaluate.some(list(range(10)), 3) == [0, 3, 6] and evaluate.some([1, 2], 5) == evaluate.some([1, 2], None) == [1, 2]
    assert evaluate.some([], 5) == []


def test_measures_that_the_base_makes_senseless_are_left_out_with_a_note(evaluated):
    folder = evaluated("--quick", "80")
    rows, text = rows_of(folder), (folder / "table.md").read_text()
    # "Hello." to everybody is as good as shuffled, so nothing is told of comfort; results.json still has it.
    assert not [name for name in rows if name.startswith(("comfort", "on topic", "joy"))]
    assert controls.LEFT_OUT in text and "\n- comfort after sadness, second judge: base 0%, replies shuffled (control) 0%" in text
    told = json.loads((folder / "results.json").read_text())["adapter"]["controlled"]["comfort after sadness, second judge"]
    assert told["means"]["replies"][0] > 0.8 and told["means"]["echo"][0] < 0.3


def test_measures_are_told_where_both_arms_are_above_their_controls(evaluated, monkeypatch):
    monkeypatch.setattr(FakeEngine, "replies", lambda self, asked: [{"reply": self.reply(c), "tokens": 3, "cut": False} for c in asked])
    rows = rows_of(evaluated("--quick", "80"))
    assert rows["on topic (embedding, cosine)"] == ["1.000 (1.000–1.000)"] * 2
    assert rows["on topic (embedding, cosine), replies shuffled (control)"] == ["0.000 (0.000–0.000)"] * 2
    assert rows["comfort after sadness, second judge, adapter − base"] == ["+0 points (-5 to +5)"]
    assert rows["memory used"] == ["100% (95%–100%)"] * 2 and "memory used, without the memory (control)" in rows


def test_a_feeling_is_answered_in_the_mode_that_the_bot_chooses(evaluated, monkeypatch):
    asked = []
    replies = FakeEngine.replies
    monkeypatch.setattr(FakeEngine, "replies", lambda self, given: asked.extend(given) or replies(self, given))
    evaluated("--quick", "8")
    chosen = {len(a["turns"][0]["text"]) % 2: a["mode"] for a in asked if a["turns"][0]["text"] in {o["turns"][0] for o in evaluate.probes("feelings")}}
    assert chosen == {0: "FIX", 1: "GENERAL"}


def test_talks_are_drawn_by_the_seed(evaluated):
    first = (evaluated("--quick", "30") / "transcripts.md").read_text()
    assert first.count("| person | base | adapter |") == 4 and "4 of 30 talks, drawn by `random.Random(1)`" in first
    assert first == (evaluated("--quick", "30") / "transcripts.md").read_text()
    assert first != (evaluated("--quick", "30", "--seed", "2") / "transcripts.md").read_text()


def test_adapters_of_several_seeds_get_a_table_of_their_spread(evaluated, tmp_path):
    (tmp_path / "b.gguf").write_bytes(b"two")
    folder = evaluated("--quick", "20", adapters=("a.gguf", "b.gguf"))
    assert len(rows_of(folder)["own name"]) == 3 and (folder / "b.transcripts.json").exists()
    lines = (folder / "spread.md").read_text().splitlines()
    assert lines[0] == "|  | base | mean of a, b | least to most |"
    assert "| identity, name (6 probes) | 0% | 100% | 100% to 100% |" in lines
    assert not [line for line in lines if "comfort" in line], "what its controls make senseless is not told here either"


def test_the_spread_is_of_the_adapters_and_not_of_the_base():
    def arm(loss, share):
        told = controls.tell({"replies": [1] * 9, "echo": [0] * 9})
        return {"losses": {"by mode": {"ALL": {"loss": loss}}, "wrong persona costs": 0.1}, "facts": {"own job": (share, 0, 1)},
                "behaviour": {}, "controlled": {"joy": told}}

    lines = spread.table({"base": arm(4.0, 0.2), "one": arm(3.1, 0.7), "two": arm(3.3, 0.8)}).splitlines()
    assert "| reply loss, ALL (nats a token) | 4.000 | 3.200 | 3.100 to 3.300 |" in lines
    assert "| own job | 20% | 75% | 70% to 80% |" in lines and "| joy | 100% | 100% | 100% to 100% |" in lines


@pytest.mark.parametrize("adapters", [("a.gguf", "gone.gguf"), ("a.gguf", "a.gguf"), ("a.gguf", "base.gguf")])
def test_adapters_that_are_missing_or_have_one_name_are_told_before_anything_is_measured(evaluated, tmp_path, adapters, capsys):
    (tmp_path / "base.gguf").write_bytes(b"three")
    assert evaluate.main(["--adapter", *(str(tmp_path / name) for name in adapters), "--out", str(tmp_path)]) == 1
    assert ("no adapter" if "gone.gguf" in adapters else "different names") in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


def test_what_was_measured_is_kept_until_something_changes(evaluated, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(FakeEngine, "__init__", lambda self, _, name, adapter: (built.append(name), vars(self).update(name=name, adapter=adapter))[0])
    table = (evaluated("--quick", "10") / "table.md").read_text()
    assert (evaluated("--quick", "10") / "table.md").read_text() == table and built == ["base", "adapter"]
    (tmp_path / "a.gguf").write_bytes(b"another")
    evaluated("--quick", "10")
    assert built[2:] == ["adapter"], "the base is what it was"
    (tmp_path / "base.measured.json").write_text("{")
    evaluated("--quick", "10")
    monkeypatch.setenv("AI_FRIEND_MODEL_FILE", "other.gguf")
    evaluated("--quick", "10")
    evaluated("--quick", "9")
    assert built[3:] == ["base"] + ["base", "adapter"] * 2
    monkeypatch.setenv("MODEL", str(tmp_path / "own.gguf"))
    evaluated("--quick", "9")
    (tmp_path / "own.gguf").write_bytes(b"one")
    evaluated("--quick", "9")
    assert built[8:] == ["base", "adapter"] * 2, "a model of one's own, and what its file holds"
    monkeypatch.setenv("AI_FRIEND_MODEL_ADAPTER", str(tmp_path / "b.gguf"))
    evaluated("--quick", "9")
    assert len(built) == 12, "the arm says which adapter, whatever the environment does"


def test_another_shipped_adapter_or_emotion_scorer_is_measured_anew(evaluated, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(FakeEngine, "__init__", lambda self, _, name, adapter: (built.append(name), vars(self).update(name=name, adapter=adapter))[0])
    monkeypatch.setattr(kept, "SHIPPED", tmp_path / "shipped.gguf")
    monkeypatch.setattr(kept.embedding, "FOLDER", tmp_path)
    monkeypatch.setattr(evaluate, "arms_of", lambda _: {"base": "none", "adapter": "shipped"})
    for file, again in (("shipped.gguf", ["base", "adapter"]), ("shipped.gguf", ["adapter"]), ("model.onnx", ["base", "adapter"])):
        (tmp_path / file).write_bytes(bytes(len(built)))
        built.clear()
        evaluated("--quick", "9")
        assert built == again


def test_nobodys_own_settings_choose_the_scorer_or_the_mode(monkeypatch, tmp_path):
    def ran(command, **more):
        assert command[:-2] == [tmp_path / "bot", "score", "--json", "-"] and command[-2] == "--config"
        with open(command[-1], encoding="utf-8") as settings:
            assert settings.read() == ""
        assert more["input"] == "hi there\nok\n"
        return engine.subprocess.CompletedProcess(command, 0, '{"scores": {"joy": 1}, "mode": "WARM"}\n' * 2, "")

    monkeypatch.setattr(engine.subprocess, "run", ran)
    texts = ["hi\n there", "ok"]
    assert engine.modes(tmp_path / "bot", texts) == ["WARM"] * 2 and engine.scores(tmp_path / "bot", texts) == [{"joy": 1}] * 2


def test_a_bot_that_fails_or_is_not_there_is_told(tmp_path):
    with pytest.raises(Problem, match="bot cannot be run: No such file"):
        engine.modes(tmp_path / "bot", ["hi"])
    (tmp_path / "bot").write_text("#!/bin/sh\necho 'no scorer' >&2\nexit 3\n")
    (tmp_path / "bot").chmod(0o755)
    with pytest.raises(Problem, match="score --json failed: no scorer"):
        engine.scores(tmp_path / "bot", ["hi"])


def test_an_arms_adapter_is_not_the_environments(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setenv("AI_FRIEND_MODEL_ADAPTER", "mine.gguf")
    monkeypatch.setenv("AI_FRIEND_MODELS", "cache")
    done = lambda command, **more: seen.update(more) or engine.subprocess.CompletedProcess(command, 0, "{}", "")
    monkeypatch.setattr(engine.subprocess, "run", done)
    engine.Engine(tmp_path / "bot", "one", "seed-1.gguf").loss([])
    assert "AI_FRIEND_MODEL_ADAPTER" not in seen["env"] and seen["env"]["AI_FRIEND_MODELS"] == "cache"


def test_a_set_without_a_named_friend_or_without_anything_held_out(tmp_path):
    class Told:
        def loss(self, lines):
            assert lines, "nothing is asked of the engine without a talk"
            return {"ALL": {"loss": 2.0}}

    store.write(tmp_path / "mine.jsonl", [store.check(entry) for entry in tiny.dialogues()])
    assert evaluate.losses(Told(), tmp_path / "mine.jsonl", None) == {"by mode": {"ALL": {"loss": 2.0}}}
    store.write(tmp_path / "one.jsonl", [store.check(entry) for entry in tiny.dialogues()[:1]])
    with pytest.raises(Problem, match="held out"):
        evaluate.losses(Told(), tmp_path / "one.jsonl", None)


def test_the_key_holds_the_pipeline_and_dialogues_from_elsewhere(tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}")
    own = {path.name for path in kept.sources(ROOT / "training/dialogues")}
    assert {"measures.py", "openings.jsonl", "fix.txt", "augment.toml"} <= own and "test_evaluate.py" not in own
    assert (tmp_path / "mine.jsonl") in kept.sources(tmp_path) and (tmp_path / "mine.jsonl") in kept.sources(tmp_path / "mine.jsonl")


def test_a_talk_cannot_break_the_page():
    log = [[("hi | you", "a\nb <|im_start|> ", False)]]
    made = evaluate.excerpts({"base": log, "adapter": [[("hi | you", "", True)]]}, [{"mode": "FIX"}], seed=1)
    assert "1 of 1 talks" in made and "| hi \\| you | a b &lt;\\|im_start\\|&gt; | … |\n" in made


def test_nothing_is_scored_of_nothing(tmp_path):
    assert engine.scores(tmp_path / "no such binary", []) == []
