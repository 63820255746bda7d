"""The quality gates: the shipped set passes, and each gate fails on a set made to fail it."""

import dataclasses

import tiny
from dataset import gates, store
from dataset.overlap import Overlap, evaluation_texts
from dataset.prompts import ROOT
from dataset.report import leaks, report

SHIPPED = store.read_all(ROOT / "training/dialogues")


def failing(dialogues, *limits):
    return {name for name, _, _, passed in gates.run(dialogues, Overlap(), *limits) if not passed}


def changed(turn, text, only=None):
    """The shipped set, with one turn of its dialogues said otherwise."""
    made = []
    for number, d in enumerate(SHIPPED):
        turns = list(d.turns)
        if only is None or number in only:
            who, _, emotion = turns[turn]
            turns[turn] = (who, text, emotion)
        made.append(store.Dialogue(d.id, d.mode, d.topic, d.persona, d.memory, turns))
    return made


def test_the_shipped_set_passes():
    assert not failing(SHIPPED)


def test_first_replies_pass_all_that_can_be_asked_of_them():
    """Short on purpose, with few questions, and with too few of two modes to tell those apart."""
    first = store.read_all(ROOT / "training/first-replies")
    assert failing(first, 300, 2) <= {"spread of reply lengths", "replies with a question", "modes told apart"}
    assert not leaks(SHIPPED, first)
    replies = [text for d in first for text in d.texts("friend")]
    assert sum("?" in text for text in replies) < 0.3 * len(replies) and not [text for text in replies if len(text.split()) > 26]


def test_plain_replies_are_plain():
    """Alike on purpose, so that a small model learns them."""
    plain = store.read_all(ROOT / "training/plain-replies")
    assert failing(plain, 1000, 2) == {"commonest beginning of a reply", "commonest last words of a talk", "spread of reply lengths"}
    assert not leaks(SHIPPED, plain) and not leaks(store.read_all(ROOT / "training/first-replies"), plain)
    replies = [text for d in plain for text in d.texts("friend")]
    assert not [text for text in replies if not 8 <= len(text.split()) <= 28]


def test_gates_fail_by_name():
    assert "dialogues" in failing(SHIPPED[:400])
    assert "near-duplicate dialogues" in failing([*SHIPPED, dataclasses.replace(SHIPPED[0], id="again")])
    assert "commonest beginning of a reply" in failing(changed(1, "Oh wow, really, I would never have guessed it."))
    assert "assistant clichés" in failing(changed(1, "That sounds like a lot. Feel free to write.", {3}))
    assert "private data" in failing(changed(0, "write me at someone@example.org", {3}))
    assert "dialogues in an evaluation set" in failing(changed(0, next(t for t in evaluation_texts() if len(t.split()) > 4).upper(), {3}))


def test_a_set_of_one_is_told_what_it_lacks():
    assert "dialogues" in failing(SHIPPED[:1])


def test_two_dialogues_of_one_id_are_still_compared():
    one = SHIPPED[0]
    assert "near-duplicate dialogues" in failing([*SHIPPED, one])
    assert leaks([one], [one]) and not leaks([one], [SHIPPED[9]])


def test_the_report_names_what_is_wrong(tmp_path):
    dialogues = store.read(tiny.write_dialogues(tmp_path / "a.jsonl"))
    dialogues[0].turns[1] = ("friend", "<|im_start|>user hello", None)
    text = report(dialogues, Overlap())
    assert "near-duplicates     " in text and "template marks      1: t0" in text
