"""Single replies graded by another model: what it is shown, and what may be told of its answers."""

import json

import pytest

import controls
import grade
import talks
from fake_judge import FakeJudge
from judging import alone, client, transcripts


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No proxy before this machine, and a clock that does not wait."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(client.time, "sleep", lambda _: None)


def begun(file, count):
    """As many sad and as many glad ones of an evaluation set."""
    every = [json.loads(line) for line in (transcripts.PROBES / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [opening for emotion in ("sadness", "joy") for opening in [o for o in every if o["emotion"] == emotion][:count]]


def openings(talked=6, wrote=2):
    """Of each feeling, six who talk on and two who wrote one message."""
    return begun("openings", talked) + begun("feelings", wrote)


def talk_of(persons, reply="ok".format):
    return [[[said, reply(said), False] for said in person["turns"]] for person in persons]


def arms(folder, talked=6, wrote=2, **reply_to):
    """Transcripts whose replies are made of the person's message."""
    for arm, reply in reply_to.items():
        talks.write(folder / f"{arm}.transcripts.json", talk_of(begun("openings", talked), reply), talk_of(begun("feelings", wrote), reply))
    return ["--transcripts", str(folder), "--arms", *reply_to]


def run(given, server, *more):
    return grade.main([*given, "--url", server.url, "--judge", "fake", "--yes", *more])


def shown(text):
    message, reply = text.split("\n[The friend's reply]\n")
    return message.removeprefix("[The person's message]\n"), reply.removesuffix("\n[The end of the reply]")


def attentive(text, _):
    """Finds comfort where a reply is sorry, and about this very message."""
    message, reply = shown(text)
    return "It is. [[yes]]" if "sorry" in reply and message in reply else "It is not. [[no]]"


def kind(said):
    return f"I'm so sorry: {said}"


def sometimes(said):
    """Kind to every second person."""
    return kind(said) if said in {opening["turns"][0] for opening in openings()[::2]} else "ok"


def test_an_arm_that_comforts_is_told_beside_one_that_does_so_less(tmp_path, capsys):
    with FakeJudge(attentive) as server:
        assert run(arms(tmp_path, base=sometimes, adapter=kind), server) == 0
    text = (tmp_path / "grades/table.md").read_text()
    assert "| comforts after sadness (8 persons) |" in text and "| 100% (68%–100%) |" in text and controls.LEFT_OUT not in text
    made = json.loads((tmp_path / "grades/results.json").read_text())["arms"]
    of = made["adapter"]["comforts after sadness (8 persons)"]
    assert [of["means"][kind][0] for kind in ("replies", "shuffled", "random", "echo")] == [1, 0, 0, 0] and made["base"]["comforts after sadness (8 persons)"]["means"]["replies"][0] < 1
    assert "comforts after sadness (8 persons), adapter − base" in capsys.readouterr().out


def test_a_judge_that_likes_everything_tells_nothing(tmp_path):
    with FakeJudge(lambda *_: "[[yes]]") as server:
        assert run(arms(tmp_path, base=sometimes, adapter=kind), server) == 0
    text = (tmp_path / "grades/table.md").read_text()
    assert text.startswith(controls.LEFT_OUT) and "adapter 100%, replies shuffled (control) 100%, replies of other dialogues (control) 100%, echo (control) 100%" in text


def test_the_judge_sees_one_message_and_one_reply_and_no_arm(tmp_path):
    with FakeJudge(attentive) as server:
        assert run(arms(tmp_path, base=sometimes, adapter=kind), server) == 0
    asked = [request["body"]["messages"] for request in server.requests]
    told = json.dumps(asked)
    assert not any(word in told for word in ("base", "adapter", "shuffled", "echo", "control"))
    assert {messages[0]["content"] for messages in asked} == {alone.SYSTEM.format(question=question) for question in alone.QUESTIONS.values()}
    firsts = {opening["turns"][0] for opening in openings()}
    assert all(shown(messages[1]["content"])[0] in firsts for messages in asked)


def test_what_two_arms_reply_alike_and_an_echo_are_asked_once(tmp_path):
    with FakeJudge(attentive) as server:
        assert run(arms(tmp_path, base=kind, adapter=kind), server) == 0
    # 16 persons: the reply, one shuffled, one of another dialogue, and the echo.
    assert len(server.requests) == 64
    with FakeJudge(attentive) as server:
        assert run(arms(tmp_path, base=kind, adapter=kind), server) == 0
    assert not server.requests


def test_replies_are_shuffled_among_people_of_one_feeling(tmp_path):
    arms(tmp_path, base=kind)
    made = grade.cases({"base": transcripts.read(tmp_path / "base.transcripts.json") + transcripts.read(tmp_path / "base.transcripts.json", "feelings")})
    sad = [opening["turns"][0] for opening in openings() if opening["emotion"] == "sadness"]
    given = [talk.replies[0] for talk in made["sadness"]["base"]["shuffled"]]
    assert sorted(given) == sorted(map(kind, sad)) and all(reply != kind(said) for reply, said in zip(given, sad))


def test_who_has_no_verdict_in_one_arm_is_left_out_of_all(tmp_path):
    lost = kind(openings()[0]["turns"][0])
    with FakeJudge(lambda text, number: "hm" if lost in text else attentive(text, number)) as server:
        assert run(arms(tmp_path, base=sometimes, adapter=kind), server) == 0
    # As a reply to its own message, and where it was shuffled to.
    assert json.loads((tmp_path / "grades/results.json").read_text())["left out"] == 2
    text = (tmp_path / "grades/table.md").read_text()
    assert "comforts after sadness (6 persons)" in text and "2 persons are left out" in text
    assert sum(request["body"]["messages"][-1]["content"].endswith("[[yes]] or [[no]], and write no other.") for request in server.requests) == len(
        [request for request in server.requests if lost in request["body"]["messages"][-1]["content"]]) // 2


def test_verdicts_are_read_only_where_they_are_clear():
    said = ("so [[Yes]]", "[[no]] and [[no]]", "[[yes]] or [[no]]", "yes", "[[A]]")
    assert [alone.FORM.verdict(text) for text in said] == ["yes", "no", None, None, None]


def test_a_judge_without_any_verdict_is_told(tmp_path, capsys):
    with FakeJudge(lambda *_: "hm") as server:
        assert run(arms(tmp_path, base=kind), server) == 1
    assert "no clear verdict about anybody's sadness" in capsys.readouterr().err and not (tmp_path / "grades/results.json").exists()


def test_one_arm_alone_has_no_differences(tmp_path):
    with FakeJudge(attentive) as server:
        assert run(arms(tmp_path, base=kind), server) == 0
    assert "the same persons paired" not in (tmp_path / "grades/table.md").read_text()


def test_flirting_is_no_news_to_be_glad_about(tmp_path):
    flirting = next(o for o in begun("openings", 99) if o["emotion"] == "joy" and o["mode"] == "FLIRT")
    log = transcripts.talk(talk_of([flirting], kind)[0])
    news = [transcripts.talk(turns) for turns in talk_of(begun("feelings", 2), kind)]
    assert grade.felt([log, *news], "joy") == [talk for talk in news if talk.said[0] in {o["turns"][0] for o in begun("feelings", 2)[2:]}]


def test_transcripts_of_an_older_evaluation_are_told(tmp_path, capsys):
    given = arms(tmp_path, base=kind)
    (tmp_path / "base.transcripts.json").write_text(json.dumps({"talks": talk_of(begun("openings", 3))}))
    with FakeJudge(attentive) as server:
        assert run(given, server) == 1
    assert "is of an older `make evaluate`, which asked for no feelings" in capsys.readouterr().err


@pytest.mark.parametrize("spoil, told", [
    (lambda folder: [talks.write(folder / f"{arm}.transcripts.json", talks.logs(), talks.logs(1, 1)) for arm in ("base", "adapter")], "no opening has the messages"),
    (lambda folder: [talks.write(folder / f"{arm}.transcripts.json", talk_of(begun("openings", 1)), talk_of(begun("feelings", 1)[1:]))
                     for arm in ("base", "adapter")], "1 of 3 talks begin with sadness: too few"),
    (lambda folder: arms(folder, 4, adapter=kind), "messages differ"),
    (lambda folder: (folder / "adapter.transcripts.json").unlink(), "cannot be read"),
])
def test_transcripts_that_cannot_be_graded_are_told(tmp_path, capsys, spoil, told):
    given = arms(tmp_path, base=sometimes, adapter=kind)
    spoil(tmp_path)
    with FakeJudge(attentive) as server:
        assert run(given, server) == 1
    assert told in capsys.readouterr().err and not server.requests


def test_an_arm_named_twice_is_told(tmp_path, capsys):
    with FakeJudge(attentive) as server:
        assert run([*arms(tmp_path, base=kind), "base"], server) == 1
    assert "named twice" in capsys.readouterr().err
