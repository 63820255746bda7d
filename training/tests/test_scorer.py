"""The scorer: what the engine is given, and what is made of its answers."""

import json
import math

import pytest

import evaluate
import scorer
import talks
from dataset.problem import Problem
from judging import transcripts

MODES = ["GENERAL", "FIX"] * 3
OPENINGS = [{"mode": mode} for mode in MODES]


class FakeEngine:
    """Takes a reply's mean length for its loss, and keeps what it was given."""

    name = "other.gguf"

    def __init__(self):
        self.given = []

    def loss(self, conversations):
        self.given.append(conversations)
        return {mode: self._of([c for c in conversations if mode in ("ALL", c["mode"])]) for mode in {"ALL", *(c["mode"] for c in conversations)}}

    def _of(self, conversations):
        replies = [turn["text"] for c in conversations for turn in c["turns"] if turn["who"] == "friend"]
        loss = sum(map(len, replies)) / len(replies) / 10
        return {"conversations": len(conversations), "tokens": len(replies), "loss": loss, "perplexity": math.exp(loss)}


def scored(count=6):
    engine, arms = FakeEngine(), {"base": {}, "adapter": {}}
    logs = {"base": talks.logs(count, reply=talks.SHORT), "adapter": talks.logs(count)}
    scorer.add(arms, logs, OPENINGS[:count], engine)
    return engine, arms


def test_the_engine_is_given_talks_and_controls():
    engine, arms = scored()
    own, shuffled, _, _, echo = engine.given
    assert [c["mode"] for c in own] == MODES
    assert own[0]["turns"][:2] == [{"who": "person", "text": "my thing0 broke, part 0"}, {"who": "friend", "text": "Oh. 0.0"}]
    assert [turn["who"] for turn in own[0]["turns"]] == ["person", "friend"] * 2
    assert all(a["turns"][0] == b["turns"][0] and a["turns"][1] != b["turns"][1] for a, b in zip(own, shuffled))
    assert all(c["turns"][0]["text"] == c["turns"][1]["text"] for c in echo)
    assert arms["base"]["scorer"]["replies"]["ALL"]["loss"] < arms["adapter"]["scorer"]["replies"]["ALL"]["loss"]
    assert arms["base"]["scorer"]["echo"] == arms["adapter"]["scorer"]["echo"] and set(arms["base"]["scorer"]["replies"]) == {"ALL", "FIX", "GENERAL"}


def test_the_table_has_every_kind_and_mode_and_says_what_it_is_not():
    _, arms = scored()
    made = scorer.table(arms)
    assert "| perplexity under other.gguf, ALL | 2.0 (0.700 nats) |" in made and "fluency, not kindness" in made
    assert "FIX, replies shuffled (control)" in made and "GENERAL, echo (control)" in made and len(scorer.rows(arms)) == 9


def test_evaluates_table_takes_the_rows_only_if_they_are_there_and_no_control_is_as_likely():
    arms = {name: {"losses": {"by mode": {}, "wrong persona costs": 0.0}, "facts": {}, "behaviour": {}} for name in ("base", "adapter")}
    assert "perplexity" not in evaluate.table(arms)
    for name, arm in scored()[1].items():
        arms[name] |= arm
    # The fake engine finds the long replies less likely than their echo.
    made = evaluate.table(arms)
    assert "| perplexity" not in made and made.endswith(
        "- perplexity under other.gguf: base 2.0, replies shuffled (control) 2.0, echo (control) 10.0; "
        "adapter 1998.2, replies shuffled (control) 1998.2, echo (control) 10.0\n")
    for arm in arms.values():
        for kind in ("shuffled", "echo"):
            arm["scorer"][kind] = {mode: told | {"loss": 9.0} for mode, told in arm["scorer"][kind].items()}
    assert "| perplexity under other.gguf, ALL |" in (made := evaluate.table(arms)) and made.endswith(f"\n\n{scorer.NOTE}\n")


def test_one_talk_has_no_shuffled_control():
    _, arms = scored(1)
    assert "shuffled" not in arms["base"]["scorer"] and len(scorer.rows(arms)) == 4


def test_the_command_scores_both_transcripts(tmp_path, monkeypatch, capsys):
    openings = [json.loads(line) for line in transcripts.OPENINGS.read_text().splitlines()][:3]
    for name, reply in (("base", ""), ("adapter", "Tell me.")):
        talks.write(tmp_path / f"{name}.json", [[[said, reply, False] for said in opening["turns"]] for opening in openings])
    engine = FakeEngine()
    monkeypatch.setattr(scorer, "engine_of", lambda *_: engine)
    arms = ["--base", str(tmp_path / "base.json"), "--adapter", str(tmp_path / "adapter.json")]
    assert scorer.main(["--scorer", "other.gguf", *arms, "--out", str(tmp_path)]) == 0
    made = json.loads((tmp_path / "scorer.json").read_text())
    assert made["note"] == scorer.NOTE and made["arms"]["adapter"]["replies"]["ALL"]["conversations"] == 3
    assert [c["mode"] for c in engine.given[0]] == [o["mode"] for o in openings]
    assert scorer.NOTE in capsys.readouterr().out and scorer.NOTE in (tmp_path / "scorer.md").read_text()


def test_talks_of_no_known_opening_are_told(tmp_path, capsys):
    assert scorer.main(["--scorer", "other.gguf", *talks.both(tmp_path), "--out", str(tmp_path)]) == 1
    assert "no opening has the messages" in capsys.readouterr().err


def test_the_engine_runs_the_other_model_without_an_adapter(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(scorer.Engine, "_run", lambda self, command, lines: given.append((command, self.flags, lines)) or "{}")
    binary, model = tmp_path / "ai-friend", tmp_path / "other.gguf"
    with pytest.raises(Problem, match="there is no scorer at"):
        scorer.engine_of(binary, model)
    model.touch()
    with pytest.raises(Problem, match="make build"):
        scorer.engine_of(binary, model)
    binary.touch()
    assert scorer.engine_of(binary, model).name == "other.gguf"
    command, flags, lines = given[0]
    assert command == ["evaluate", "loss"] and flags == ["--no-adapter", "--model", str(model)] and lines[0]["turns"][-1]["who"] == "friend"
