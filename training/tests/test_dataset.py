"""Reading, converting and building dialogue sets, and what is said about bad input."""

import json
import random

import pytest

import tiny
from dataset import kind, persona_chat, reference, store, textform
from dataset.augment import make
from dataset.mixture import Mixture
from dataset.overlap import FOLDER, Overlap
from dataset.personas import Personas
from dataset.problem import Problem
from dataset.prompts import shipped_persona, system_text
from dataset.split import split


def entry(**changes):
    return tiny.dialogues(1)[0] | changes


@pytest.mark.parametrize("line, told", [
    ('{"id": "a", ', ":2: broken JSON at column"),
    ("[]", ":2: it is no object"),
    (json.dumps(entry(mode="SAD")), "mode `SAD` is unknown"),
    (json.dumps(entry(turns=entry()["turns"][1:])), "turn 1 is the friend's; turns alternate"),
    (json.dumps(entry(turns=entry()["turns"][:3])), "the friend's reply is missing"),
    (json.dumps(entry(turns=[{"who": "user", "text": "hi"}] * 2)), "turn 1: who is `user`"),
    (json.dumps(entry(turns=[{"who": "person", "text": " "}] * 2)), "turn 1 has no text"),
    (json.dumps(entry(turns=[{"who": "person", "text": "hi {pet}"}, {"who": "friend", "text": "yo"}])), "placeholder {pet}"),
    (json.dumps(entry(memory="a dog")), "`memory` is not a list"),
    (json.dumps(entry()), "id `t0` is already on line 1"),
])
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path, line, told):
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(entry()) + "\n" + line + "\n")
    with pytest.raises(Problem, match=None) as raised:
        store.read(path)
    assert told in str(raised.value) and "set.jsonl:2" in str(raised.value)


def test_what_is_written_reads_back(tmp_path):
    first = store.read(tiny.write_dialogues(tmp_path / "a.jsonl"))
    store.write(tmp_path / "b.jsonl", first)
    assert store.read(tmp_path / "b.jsonl") == first


def test_the_text_form_and_its_faults(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# FIX | exam-failed | any | memory: they study law; they nap.\nP sadness: failed\nF: Oh no. All of it?\n")
    made = textform.convert([path])[0]
    assert (made.id, made.memory, made.turns[0]) == ("fix-exam-failed-1", ["they study law", "they nap"], ("person", "failed", "sadness"))
    path.write_text("# FIX | exam | any\nP sadness: failed\nG: what\n")
    with pytest.raises(Problem, match="a.txt:3"):
        textform.convert([path])


def write_raw(folder):
    """Small files of the originals' schema."""
    (folder / "empatheticdialogues").mkdir(parents=True)
    head = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
    for part, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        rows = [f"hit:0_conv:{part},1,joyful,p,1,I won_comma_ really {part},5|5,", f"hit:0_conv:{part},2,joyful,p,2,How lovely!,5|5,",
                f"hit:1_conv:{part},1,afraid,p,1,A noise downstairs {part},5|5,", f"hit:1_conv:{part},2,afraid,p,2,Lock the door,5|5,"]
        (folder / f"empatheticdialogues/{name}.csv").write_text(head + "\n".join(rows) + "\n")
        base = folder / "dailydialog" / part
        base.mkdir(parents=True)
        (base / f"dialogues_{part}.txt").write_text(f"Hello {part} . __eou__ Hi ! __eou__ Bye . __eou__\nGo away {part} __eou__ No __eou__\nSame everywhere __eou__ Yes __eou__\n")
        (base / f"dialogues_emotion_{part}.txt").write_text("0 4 6\n1 0\n0 0\n")
    return folder


def test_the_reference_set(tmp_path):
    train, validation, counts = reference.build(write_raw(tmp_path))
    # Test is folded into training; afraid and angry are dropped.
    assert counts == {"empathetic": (1, 1, 1), "daily": (2, 2, 2), "joined": (6, 3)}
    assert train[0] == (
        "You are a kind and empathetic interlocutor. You are talking to a person. Below is an instruction that describes a task. Write a response "
        "that appropriately completes the request.\n\n### Instruction:\nYou try to chit-chat. Complete a phrase, acting like an interlocutor.\n\n"
        "### Response:\nPerson: I won, really train\nYou: How lovely!"
    )
    assert train[1].endswith("Person: I won, really test\nYou: How lovely!")
    assert validation[1].endswith("Person: Hello validation .\nYou: Hi !\nPerson: Bye .")
    assert len(reference.difference(counts)) == 3 and not reference.difference(reference.COUNTS)


def test_kind_keeps_the_negatives_and_leaks_nothing(tmp_path):
    parts, left = kind.build(write_raw(tmp_path))
    assert [d.mode for d in parts["train"]] == ["WARM", "FIX", "GENERAL", "FIX"]
    assert left == 2 and [len(parts[part]) for part in ("train", "validation", "test")] == [4, 4, 5]
    assert all(d.turns[-1][0] == "friend" for d in parts["train"])


def test_a_row_cut_short_is_named(tmp_path):
    path = write_raw(tmp_path) / "empatheticdialogues/train.csv"
    path.write_text(path.read_text() + "hit:9,1\n")
    with pytest.raises(Problem, match="train.csv:6: 2 fields"):
        reference.build(tmp_path)


def test_synthetic_persona_chat(tmp_path):
    (tmp_path / "synthetic-persona-chat").mkdir()
    talk = ["User 1: Hi!", "User 2: Evening, I just came in from my vegetable garden all muddy.", "User 1: what grows there",
            "User 2: Mostly tomatoes, and a garden gnome that my neighbour hates.", "User 1: lol", "User 2: (name) you too"]
    (tmp_path / persona_chat.FILE).write_text('user 1 personas,user 2 personas,Best Generated Conversation\n"I am a nurse.\nMy dog loves me.","I have a garden.","' + "\n".join(talk) + '"\n')
    made, = persona_chat.read(tmp_path)
    assert made.memory == ["they are a nurse", "their dog loves them"] and "I have a garden" in made.intro
    assert len(made.turns) == 4 and made.turns[-1][0] == "friend"


def test_prompts_are_the_bots():
    persona = shipped_persona()
    text = system_text(persona["intro"], persona["modes"]["FIX"]["instruction"], ["they nap", "they study law"])
    assert text == persona["intro"] + "\n" + persona["modes"]["FIX"]["instruction"] + "\nWhat you know about the person: they nap; they study law."


def test_personas_are_none_of_the_evaluations():
    lists, rng = Personas(), random.Random(1)
    for line in (FOLDER / "personas.jsonl").read_text().splitlines():
        unseen = json.loads(line)
        assert unseen["name"] not in lists.women + lists.men and unseen["job"] not in lists.jobs and unseen["city"] not in lists.cities
    for _ in range(50):
        who = lists.anybody(rng)
        assert all(str(part) in who.intro for part in (who.name, who.age, who.job, who.city)) and "{" not in who.intro
        assert "{" not in who.fill("I'm {name}, {a_job} of {age}, {job} in {city}")


def test_augmented_talks_answer_from_prompt_or_talk():
    made = make(random.Random(1), [], {"identity": 20, "memory": 40, "recall": 40}, Overlap())
    assert len(made) == 100 and all(store.check(json.loads(d.as_json())) for d in made)
    replies = [text for d in made for text in d.texts("friend")]
    assert 0.1 < sum("?" in reply for reply in replies) / len(replies) < 0.5


def test_an_epoch_is_decided_by_its_seed_and_shares_nothing_with_what_is_held_out(tmp_path):
    path = tiny.write_dialogues(tmp_path / "a.jsonl")
    settings = {"augment": {"memory": 5}, "persona_chat": 3}
    one, two = Mixture(path, settings), Mixture(path, settings)
    assert one.epoch(1, 0) == two.epoch(1, 0) != one.epoch(1, 1)
    assert "Synthetic-Persona-Chat skipped" in one.notes[0]
    train, test = split(store.read(path))
    assert test and not {d.topic for d in train} & {d.topic for d in test}
    assert [e.id for e in one.held_out()] == [d.id for d in test]
