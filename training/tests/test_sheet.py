"""The blind sheet: what the page shows and hides, and how votes are checked and counted."""

import json
import random
import re

import pytest

import sheet
import talks
from judging import page, transcripts, votes
from judging.transcripts import Pair, Talk

KEY = {"sheet": "abc", "pairs": {str(n): {"talk": f"talks-{n}", "contender": "left" if n % 2 else "right"} for n in range(1, 5)}}


def pairs(count=40):
    ours, theirs = ([transcripts.talk(turns) for turns in talks.logs(count, reply=reply)] for reply in (talks.LONG, talks.SHORT))
    return transcripts.pairs(ours, theirs)


def make(folder, *more):
    return sheet.main(["make", *talks.both(folder), "--out", str(folder / "sheet"), "--pairs", "4", *more])


def saved(path, choices, voter="Ann", **more):
    """A file as the page's button saves it."""
    made = [{"pair": str(n), "choice": choice} for n, choice in enumerate(choices, 1)]
    path.write_text(json.dumps({"sheet": "abc", "voter": voter, "votes": made, **more}))
    return path


def tallied(folder, *files):
    (folder / "key.json").write_text(json.dumps(KEY))
    return sheet.main(["tally", str(folder / "key.json"), *map(str, files), "--out", str(folder / "result.json")])


def test_the_page_is_blind_and_whole(tmp_path, capsys):
    assert make(tmp_path) == 0
    html, key = (tmp_path / "sheet/sheet.html").read_text(), json.loads((tmp_path / "sheet/key.json").read_text())
    assert not re.search(r"adapter|\bbase\b|contender|reference|talks-\d|%[A-Z]+%", html)
    assert not re.search(r"https?:|src=|<link|@import|url\(", html)
    assert html.count("<section") == 4 and f'"{key["sheet"]}"' in html and key["sheet"] not in capsys.readouterr().err
    # Whatever the arm, both sides are written alike.
    sides = re.findall(r"<article.*?</article>", html, re.S)
    bare = {re.sub(r"(first|second)-\d|First|Second|</span>[^<]*</li>", "", side) for side in sides}
    assert len(sides) == 8 and len(bare) == 1


def test_the_key_tells_the_sides_and_the_draw_is_seeded():
    html, key = page.blind(pairs(), 30, seed=3)
    assert (html, key) == page.blind(pairs(), 30, seed=3) and key["sheet"] != page.blind(pairs(), 30, seed=4)[1]["sheet"]
    for number, shown in enumerate(re.findall(r"<section.*?</section>", html, re.S), 1):
        left, right = (len(side) for side in re.findall(r"<article.*?</article>", shown, re.S))
        assert key["pairs"][str(number)]["contender"] == ("left" if left > right else "right")
    sides = [side["contender"] for side in key["pairs"].values()]
    assert 8 <= sides.count("left") <= 22 and len({side["talk"] for side in key["pairs"].values()}) == 30


def test_texts_are_escaped():
    evil = '<script>alert("x")</script><img src=x onerror=1> & \'"'
    html, _ = page.blind([Pair("talks-1", Talk((evil,), (evil,)), Talk((evil,), ("%SHEET% %PAIRS%",)))], 1, seed=1)
    assert html.count("<script>") == 1 and "<img" not in html and "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in html
    assert "%SHEET% %PAIRS%" in html


def test_pairs_that_do_not_differ_are_left_out(tmp_path, capsys):
    same = Talk(("hi",), ("hello",))
    with pytest.raises(page.Problem, match="there are 0 that differ"):
        page.blind([Pair("talks-1", same, same)], 1, seed=1)
    assert make(tmp_path, "--pairs", "7") == 1
    assert "7 pairs are wanted, and there are 6" in capsys.readouterr().err


def test_another_sheets_key_is_not_written_over(tmp_path, capsys):
    assert make(tmp_path) == make(tmp_path) == 0
    assert make(tmp_path, "--seed", "2") == 1
    assert "is the key of another sheet" in capsys.readouterr().err


def test_votes_are_counted_by_arm(tmp_path, capsys):
    # The adapter is at the left in pairs 1 and 3.
    files = saved(tmp_path / "a.json", ["left", "right", "tie", "left"]), saved(tmp_path / "b.json", ["left", "right", "left"], "Bo")
    assert tallied(tmp_path, *files) == 0
    made = json.loads((tmp_path / "result.json").read_text())
    assert [made[name] for name in ("voters", "pairs", "votes", "wins", "ties", "losses")] == [2, 4, 7, 5, 1, 1]
    # Pairs count alike: 1, 1, 0.75 and 0.
    assert made["win rate"][0] == 0.6875 and made["win rate"][1] < 0.6875 < made["win rate"][2]
    assert made["agreement"]["percent"] == pytest.approx(200 / 3)
    told = capsys.readouterr().out
    assert "| adapter against base | 2 | 4 | 7 | 5 | 1 | 1 | 69% (" in told and "Agreement (pairs of voters: 1): 67%, Cohen's kappa 0.50" in told


def test_one_voter_has_nobody_to_agree_with(tmp_path, capsys):
    assert tallied(tmp_path, saved(tmp_path / "a.json", ["left"])) == 0
    assert "needs two voters" in capsys.readouterr().out


def test_kappa_is_cohens():
    # 20 both left, 5 and 10 apart, 15 both right: observed 0.7, by chance 0.5.
    assert votes.kappa([("left", "left")] * 20 + [("left", "right")] * 5 + [("right", "left")] * 10 + [("right", "right")] * 15) == pytest.approx(0.4)
    assert votes.kappa([("left", "left")] * 3) is None
    rng = random.Random(1)
    assert abs(votes.kappa([(rng.choice(votes.CHOICES), rng.choice(votes.CHOICES)) for _ in range(4000)])) < 0.05
    three = {name: {str(n): choice for n, choice in enumerate(made)} for name, made in {"a": ["left", "right"], "b": ["left", "right"], "c": ["right", "left"]}.items()}
    made = votes.agreement(three)
    assert made["pairs of voters"] == 3 and made["percent"] == pytest.approx(100 / 3) and made["kappa"] == pytest.approx(-1 / 3)


@pytest.mark.parametrize("more, told", [
    ({"sheet": "other"}, "is of sheet other, the key of sheet abc"),
    ({"votes": [{"pair": "9", "choice": "left"}]}, "votes on pair 9, which the sheet does not have"),
    ({"votes": [{"pair": ["1"], "choice": "left"}]}, "which the sheet does not have"),
    ({"votes": [{"pair": "1", "choice": "up"}]}, "votes `up` on pair 1"),
    ({"votes": [{"pair": "1", "choice": "left"}] * 2}, "votes twice on pair 1"),
    ({"votes": {}}, "is no file of votes"),
    ({"voter": "  "}, "names no voter"),
])
def test_votes_that_cannot_count_are_told(tmp_path, capsys, more, told):
    assert tallied(tmp_path, saved(tmp_path / "a.json", ["left"], **more)) == 1
    assert told in capsys.readouterr().err


def test_a_voter_counts_once(tmp_path, capsys):
    files = saved(tmp_path / "a.json", ["left"]), saved(tmp_path / "b.json", ["right"], " ann ")
    assert tallied(tmp_path, *files) == 1
    assert "a.json and" in (told := capsys.readouterr().err) and "both of voter ann" in told


@pytest.mark.parametrize("text, told", [("[]", "holds no JSON object"), ("{", "holds no JSON object"), ('{"sheet": "abc", "pairs": []}', "is no key of a sheet")])
def test_a_bad_key_is_told(tmp_path, capsys, text, told):
    (tmp_path / "key.json").write_text(text)
    assert sheet.main(["tally", str(tmp_path / "key.json"), str(saved(tmp_path / "a.json", ["left"]))]) == 1
    assert told in capsys.readouterr().err
