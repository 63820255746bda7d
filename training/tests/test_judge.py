"""Judging by another model: the verdicts' rules, a judge's whims, and a server's."""

import json

import pytest

import fake_judge
import judge
import talks
from dataset.problem import Problem
from fake_judge import FakeJudge
from judging import client, outcome, prompt, transcripts

KEY = "sk-never-to-be-seen-7431"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """A key, no proxy before this machine, and a clock that does not wait."""
    waits = []
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(client.time, "sleep", waits.append)
    return waits


def run(folder, server, *more, count=6):
    return judge.main([*talks.both(folder, count), "--url", server.url, "--judge", "fake", "--out", str(folder / "judge"), "--yes", *more])


def results(folder):
    return json.loads((folder / "judge/results.json").read_text())


def main_result(folder):
    return results(folder)["comparisons"]["adapter against base"]


def test_the_longer_reply_wins_wherever_it_stands(tmp_path, capsys):
    with FakeJudge(fake_judge.longer) as server:
        assert run(tmp_path, server, "--price-in", "1", "--price-out", "1000") == 0
    made = main_result(tmp_path)
    assert [made[name] for name in ("wins", "ties", "losses", "invalid")] == [6, 0, 0, 0]
    # Six pairs prove no certainty.
    assert made["win rate"] == [1, pytest.approx(6 / (6 + 1.96**2)), 1] and made["first position won"][0] == 0.5 and made["tokens in"] == 1200
    assert len(server.requests) == 12 and {r["path"] for r in server.requests} == {"/v1/chat/completions"}
    assert {r["key"] for r in server.requests} == {f"Bearer {KEY}"}
    told = capsys.readouterr().out
    assert "calls    12," in told and "four characters" in told and "cost     up to about 4.80" in told
    assert "| adapter against base | 6 | 6 | 0 | 0 | 0 | 100% (61%–100%) |" in (tmp_path / "judge/table.md").read_text()


def test_a_judge_that_looks_at_the_position_only_gives_ties(tmp_path):
    with FakeJudge(fake_judge.first) as server:
        assert run(tmp_path, server) == 0
    made = main_result(tmp_path)
    assert (made["ties"], made["win rate"][0], made["first position won"][0], made["orders agree"][0]) == (6, 0.5, 1.0, 0.0)


def test_a_pairs_two_verdicts_are_not_two_pairs():
    entries = [{"verdict": verdict, "tokens_in": 1, "tokens_out": 1} for verdict in "AB" * 30 + "AC" * 2 + "CC"]
    # 30 pairs of which the first position won one call each, two of which it won all that was told, and one that tells nothing.
    assert judge.result(entries)["first position won"] == outcome.share([0.5] * 30 + [1, 1])


def test_verdicts_count_only_if_both_orders_agree():
    assert [prompt.point(*both) for both in ("AB", "BA", "AA", "BB", "CC", "AC", "CB")] == [1, 0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert prompt.point("A", None) is None
    assert prompt.FORM.verdict("[[A]] … so [[A]]") == "A" and prompt.FORM.verdict("[[A]] or [[B]]") is None and prompt.FORM.verdict("A") is None
    assert outcome.summary([1, 0.5, 0, None])["win rate"][0] == 0.5


def test_a_busy_server_is_asked_again(tmp_path, surroundings, capsys):
    def busy(text, number):
        return (429, {"Retry-After": "0"}, b"slow down") if number % 2 else fake_judge.longer(text, number)

    with FakeJudge(busy) as server:
        assert run(tmp_path, server, count=2) == 0
    assert main_result(tmp_path)["wins"] == 2 and len(server.requests) == 8 and surroundings == [0.0] * 4
    assert "HTTP 429 slow down; again in 0 s" in capsys.readouterr().err


def test_a_wait_that_is_too_long_stops(tmp_path, capsys):
    with FakeJudge(lambda *_: (429, {"Retry-After": "86400"}, b"")) as server:
        assert run(tmp_path, server) == 1
    assert len(server.requests) == 1 and "asks to wait 86400 s" in capsys.readouterr().err


def test_retry_after_reads_seconds_and_dates():
    assert client.retry_after("7") == 7 and client.retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert client.retry_after("soon") is None and client.retry_after(None) is None


@pytest.mark.parametrize("garbage", ["no verdict here", "[[A]] and [[B]]", None])
def test_garbage_is_asked_once_more_and_counted(tmp_path, garbage):
    with FakeJudge(lambda *_: garbage) as server:
        assert run(tmp_path, server, count=2) == 0
    made = main_result(tmp_path)
    assert len(server.requests) == 8 and made["invalid"] == 2 and made["win rate"] is None
    assert server.requests[1]["body"]["messages"][-1]["content"].endswith("[[A]] or [[B]] or [[C]], and write no other.")


def test_a_second_answer_with_a_verdict_counts(tmp_path):
    with FakeJudge(lambda text, number: "hm" if number % 2 else fake_judge.longer(text, number)) as server:
        assert run(tmp_path, server, count=2) == 0
    assert main_result(tmp_path)["wins"] == 2 and main_result(tmp_path)["tokens out"] == 56


@pytest.mark.parametrize("reply", [(500, {}, b"broken"), (200, {}, b"<html>"), (200, {}, b'{"choices": []}')])
def test_a_server_that_stays_broken_stops_after_a_bounded_number_of_calls(tmp_path, reply, surroundings, capsys):
    with FakeJudge(lambda *_: reply) as server:
        assert run(tmp_path, server) == 1
    assert len(server.requests) == client.ATTEMPTS and surroundings == [1, 2, 4, 8, 16]
    assert "failed 6 times" in capsys.readouterr().err


@pytest.mark.parametrize("status, told", [(401, "JUDGE_API_KEY"), (404, "ends in /v1"), (400, "--body"), (302, "refuses the request")])
def test_what_cannot_pass_stops_at_once(tmp_path, status, told, capsys):
    echo = f"your key is {KEY} \x1b[31m".encode()
    with FakeJudge(lambda *_: (status, {"Location": "/elsewhere"}, echo)) as server:
        assert run(tmp_path, server) == 1
    error = capsys.readouterr().err
    assert len(server.requests) == 1 and told in error and f"(HTTP {status})" in error
    assert KEY not in error and "your key is [key]" in error and "\x1b" not in error


def test_an_unreachable_server_is_told(tmp_path, capsys):
    with FakeJudge(fake_judge.first) as server:
        pass
    assert run(tmp_path, server) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_stopped_run_goes_on_with_the_remaining_calls(tmp_path, capsys):
    def stops(text, number):
        return (401, {}, b"") if number > 5 else fake_judge.longer(text, number)

    with FakeJudge(stops) as server:
        assert run(tmp_path, server) == 1
    with (tmp_path / "judge/verdicts.jsonl").open("a") as file:
        file.write('{"pair": "talks-3", "ord')  # As a kill in the middle of a line leaves it.
    for calls in (7, 0):
        with FakeJudge(fake_judge.longer) as server:
            assert run(tmp_path, server) == 0
        assert len(server.requests) == calls and main_result(tmp_path)["wins"] == 6
    with FakeJudge(fake_judge.longer) as server:
        assert run(tmp_path, server, "--judge", "other") == 0
    assert len(server.requests) == 12
    assert len((tmp_path / "judge/verdicts.jsonl").read_text().splitlines()) == 24


def test_the_key_is_nowhere_in_what_is_printed_or_written(tmp_path, capsys):
    with FakeJudge(lambda text, _: f"{KEY} says [[A]]") as server:
        assert run(tmp_path, server, "--control", "shuffled") == 0
    told = capsys.readouterr()
    written = "".join(path.read_text() for path in (tmp_path / "judge").iterdir())
    assert KEY not in told.out + told.err + written and "[key] says" in written


def test_a_judge_who_tells_the_person_apart_may_be_published(tmp_path):
    with FakeJudge(fake_judge.knows) as server:
        assert run(tmp_path, server, "--control", "shuffled") == 0
    made = results(tmp_path)
    assert made["publishable"] is True and made["comparisons"][judge.called("shuffled")]["losses"] == 6 and len(server.requests) == 24


@pytest.mark.parametrize("whim", [fake_judge.first, lambda *_: "nothing"])
def test_a_judge_who_does_not_is_not_to_be_published(tmp_path, whim):
    with FakeJudge(whim) as server:
        assert run(tmp_path, server, "--control", "shuffled") == 0
    assert results(tmp_path)["publishable"] is False
    assert "are not to be published" in (tmp_path / "judge/table.md").read_text()


def test_without_a_control_the_result_says_so(tmp_path):
    with FakeJudge(fake_judge.longer) as server:
        assert run(tmp_path, server, "--most", "2", "--unit", "replies") == 0
    assert results(tmp_path)["publishable"] is None and "No control was judged" in results(tmp_path)["note"]
    assert len(server.requests) == 4 and all(r["body"]["messages"][1]["content"].count("Person:") == 2 for r in server.requests)


def test_a_terminal_is_asked_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    with FakeJudge(fake_judge.first) as server:
        arguments = [*talks.both(tmp_path), "--url", server.url, "--judge", "fake", "--out", str(tmp_path / "judge")]
        assert judge.main(arguments) == 0
    assert not server.requests and "nothing was asked" in capsys.readouterr().out


def test_the_requests_fields_can_be_changed(tmp_path):
    with FakeJudge(fake_judge.first) as server:
        assert run(tmp_path, server, "--body", '{"max_tokens": null, "max_completion_tokens": 900}', count=1) == 0
    body = server.requests[0]["body"]
    assert "max_tokens" not in body and body["max_completion_tokens"] == 900 and body["temperature"] == 0 and body["model"] == "fake"


def test_shuffled_replies_are_somebody_elses():
    own = [transcripts.talk(turns) for turns in talks.logs(9)]
    swapped = transcripts.shuffled(own)
    assert swapped == transcripts.shuffled(own) and [t.said for t in swapped] == [t.said for t in own]
    assert all(not set(a.replies) & set(b.replies) for a, b in zip(own, swapped))
    assert sorted(t.replies for t in swapped) == sorted(t.replies for t in own)


@pytest.mark.parametrize("change, told", [
    (["--base", "nowhere.json"], "nowhere.json cannot be read"),
    (["--base", __file__], "is no transcript file"),
    (["--url", "127.0.0.1"], "is no web address"),
])
def test_bad_arguments_are_told(tmp_path, capsys, change, told):
    with FakeJudge(fake_judge.first) as server:
        assert run(tmp_path, server, *change) == 1
    assert told in capsys.readouterr().err and not server.requests


def test_transcripts_of_different_talks_are_told():
    ours, theirs = ([transcripts.talk(turns) for turns in talks.logs(2, start=n)] for n in (0, 1))
    with pytest.raises(Problem, match="messages differ"):
        transcripts.pairs(ours, theirs)


def test_a_damaged_verdict_is_told(tmp_path, capsys):
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge/verdicts.jsonl").write_text('{"pair": 1}\n')
    with FakeJudge(fake_judge.first) as server:
        assert run(tmp_path, server) == 1
    assert "line 1 of" in capsys.readouterr().err
