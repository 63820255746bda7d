"""Reading, converting and building dialogue sets, and what is said about bad input."""

import json
import random
import re
from dataclasses import replace

import pytest

import tiny
from dataset import kind, persona_chat, reference, store
from dataset.__main__ import main
from dataset.augment import FORMS, LISTS, fill, make, messy, put
from dataset.mixture import Mixture, weight
from dataset.near import Near, plain
from dataset.overlap import FOLDER, NEARLY, Overlap, evaluation_texts
from dataset.personas import Personas
from dataset.problem import Problem
from dataset.prompts import ROOT, shipped_persona, system_text
from dataset.split import held_out, split, subject


def entry(**changes):
    return tiny.dialogues(1)[0] | changes


@pytest.mark.parametrize("line, told", [
    ('{"id": "a", ', ":2: broken JSON at column"),
    ("[]", ":2: it is no object"),
    (json.dumps(entry(mode="SAD")), "mode `SAD` is unknown"),
    (json.dumps(entry(turns=entry()["turns"][1:])), "turn 1 is the friend's; turns alternate"),
    (json.dumps(entry(turns=entry()["turns"][:3])), "the friend's reply is missing"),
    (json.dumps(entry(turns=[*entry()["turns"][:1], {"who": "bot", "text": "answer"}])), "the friend's reply is missing"),
    (json.dumps(entry(turns=[*entry()["turns"][:1], {"who": "bot", "text": "Call 988."}])), "the bot has no text `Call 988.`; known: answer,"),
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


@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_what_is_written_reads_back(tmp_path, suffix):
    first = store.read(tiny.write_dialogues(tmp_path / "a.jsonl"))
    store.write(tmp_path / f"b{suffix}", first)
    again = store.read(tmp_path / f"b{suffix}")
    content = lambda dialogues: [(d.mode, d.topic, d.persona, d.memory, d.turns) for d in dialogues]
    assert content(again) == content(first) and len({d.id for d in again}) == len(first)
    # The text form makes ids of its own.
    assert again == first or suffix == ".txt"


@pytest.mark.parametrize("field", [{"memory": ["a; b"]}, {"memory": ["a\nb"]}, {"topic": "a | b"}, {"topic": "a\nb"}, {"intro": "You are Ada."}])
def test_what_the_text_form_cannot_hold_is_refused(tmp_path, field):
    with pytest.raises(Problem, match="does not fit the text form"):
        store.write(tmp_path / "a.txt", [store.check(entry(**field))])


def test_the_text_form_and_its_faults(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# FIX | exam-failed | any | memory: they study law; they nap.\nP sadness: failed\nF: Oh no. All of it?\n")
    made = store.read(path)[0]
    assert (made.id, made.memory, made.turns[0]) == ("fix-exam-failed-1", ["they study law", "they nap"], ("person", "failed", "sadness"))
    for wrong, told in (("# FIX | exam | any\nP sadness: failed\nG: what\n", "a.txt:3: this is neither a header nor a turn"),
                        ("# FIX | exam\nP: failed\n", "a.txt:1: not a header"),
                        ("\n# SAD | exam | any\nP: failed\nF: no!\n", "a.txt:2: mode `SAD` is unknown"),
                        ("P: failed\n", "a.txt:1: this is neither")):
        path.write_text(wrong)
        with pytest.raises(Problem, match=told):
            store.read(path)


def test_what_the_bot_says_by_itself_stands_in_a_talk_by_its_name(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# FIX | dark-night | any\nP sadness: i want to die\nB: answer\nP: ok\nF: I'm glad that you write.\n\n")
    made = store.read(path)
    assert made[0].texts("friend") == ["I'm glad that you write."] and store.text_of(path, made) == path.read_text()
    turns = Mixture(path, {"test": str(path)}).held_out()[0].turns
    assert turns[1][0] == "bot" and "988" in turns[1][1] and "findahelpline.com" in turns[1][1]


def test_sets_become_one_and_what_touches_an_evaluation_set_is_left_out(tmp_path, capsys):
    probe = json.loads((FOLDER / "memory.jsonl").read_text().splitlines()[0])
    (tmp_path / "a.txt").write_text(f"# FIX | exam | any | memory: {probe['memory'][0]}\nP: failed\nF: Oh no.\n\n"
                                    "# WARM | cake | any\nP joy: it rose!\nF: A tall one?\n")
    files = [str(tmp_path / "a.txt"), str(tiny.write_dialogues(tmp_path / "b.jsonl"))]
    for out, found in (("made", tmp_path / "made"), ("made.jsonl", tmp_path / "made.jsonl")):
        assert main(["convert", *files, "--out", str(tmp_path / out)]) == 0
        made = store.read_all(found)
        assert len(made) == len(tiny.dialogues()) + 1 and "cake" in {d.topic for d in made}
    assert "left out: fix-exam-1" in capsys.readouterr().out
    # Files of the text form number their dialogues each for itself.
    assert main(["convert", files[0], files[0], "--out", str(tmp_path / "twice.jsonl")]) == 0
    assert [d.id for d in store.read(tmp_path / "twice.jsonl")] == ["warm-cake-1", "warm-cake-1-2"]


def test_a_conversion_that_is_refused_leaves_all_files_as_they_were(tmp_path, capsys):
    made = tmp_path / "made"
    assert main(["convert", str(tiny.write_dialogues(tmp_path / "a.jsonl")), "--out", str(made)]) == 0
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    wrong = [store.check(entry(mode=mode, topic=f"wrong {mode}", id=mode, memory=["a; b"])) for mode in ("GENERAL", "FIX")]
    store.write(tmp_path / "b.jsonl", [replace(wrong[0], memory=[]), wrong[1]])
    assert main(["convert", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--out", str(made)]) == 1
    assert "does not fit the text form" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_mark_before_the_text_is_no_fault_and_half_an_emoji_is(tmp_path):
    for name, text in (("a.txt", "# FIX | exam | any\nP: failed\nF: Oh no.\n"), ("a.jsonl", json.dumps(entry()))):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert len(store.read(tmp_path / name)) == 1
    turns = [{"who": "person", "text": "oh \ud83d"}, {"who": "friend", "text": "What?"}]
    (tmp_path / "b.jsonl").write_text(json.dumps(entry(turns=turns)))
    with pytest.raises(Problem, match="b.jsonl:1: turn 1 holds half of a character"):
        store.read(tmp_path / "b.jsonl")


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


def test_talks_about_the_friend_ask_for_the_topics_that_are_weighed():
    asked = lambda weights: [text for d in make(random.Random(2), [], {"identity": 30}, weights=weights) for who, text, _ in d.turns if who == "friend"]
    answers = set(LISTS["identity"]["who"]["answers"])
    begins = lambda text: any(text[:9] == answer[:9] or text[:9].lower() == answer[:9].lower() for answer in answers)
    assert all(begins(text) for text in asked({"who": 1}))
    assert not all(begins(text) for text in asked({"city": 1}))


def test_augmented_talks_answer_from_prompt_or_talk():
    made = make(random.Random(1), [], {"identity": 20, "memory": 40, "recall": 40}, Overlap())
    assert len(made) == 100 and all(store.check(json.loads(d.as_json())) for d in made)
    replies = [text for d in made for text in d.texts("friend")]
    assert 0.1 < sum("?" in reply for reply in replies) / len(replies) < 0.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["comfort", "joy"])
def test_comfort_and_joy_answer_the_message_that_was_written(kind, seed):
    entries, overlap = LISTS[kind], Overlap()
    talks = lambda seed: make(random.Random(seed), [], {kind: 2 * len(entries)}, overlap)
    made = talks(seed)
    assert len(made) == 2 * len(entries) and {len(d.turns) for d in made} == {2, 4, 6}
    assert made == talks(seed) != talks(seed + 1) and not any(overlap.of(d) for d in made)
    for number, d in enumerate(made):
        assert all(text.strip() and "{" not in text for _, text, _ in d.turns) and store.check(json.loads(d.as_json()))
        form = entries[number % len(entries)]
        values = LISTS["values"][form["values"]] if "values" in form else [None]
        said, reply = d.turns[0][1], d.turns[1][1]
        # Message and reply of one entry, about one and the same name.
        filled = lambda part, value: [put(text, value) for text in form[part]]
        assert any(said in filled("said", value) and reply in filled("replies", value) for value in values)


@pytest.mark.parametrize("kind, least, said, replies", [("comfort", 60, (2, 3), (2, 3)), ("joy", 36, (5, 6), (6, 7))])
def test_comfort_and_joy_are_written_in_several_words_and_ask_one_thing(kind, least, said, replies):
    entries = LISTS[kind]
    assert len(entries) >= least
    for entry in entries:
        assert said[0] <= len(entry["said"]) <= said[1] and replies[0] <= len(entry["replies"]) <= replies[1]
        assert "{" not in entry["thing"] or "values" in entry
        if "values" in entry:
            assert all("{v}" in text or "{a_v}" in text for text in entry["said"] + entry["replies"])
    texts = [text for entry in entries for text in entry["replies"]]
    assert len(set(texts)) == len(texts) and all(8 <= len(text.split()) <= 35 and text.count("?") <= 1 for text in texts)


def test_joy_rejoices_first_and_seldom_asks():
    forms = LISTS["joy"] + LISTS["joy_after"] + LISTS["joy_closing"]
    replies = [text for form in forms for text in form["replies"]]
    assert sum("?" in text for text in replies) <= 0.4 * len(replies) and len(set(replies)) == len(replies)
    for form in LISTS["joy"]:
        assert sum("?" in text for text in form["replies"]) <= len(form["replies"]) / 2
    for text in replies:
        assert 10 <= len(text.split()) <= 35 and not re.search(r"\bsorry\b", text, re.I), text
        # The question ends the reply. What stands for a word in lower case begins no later sentence.
        assert "?" not in text[:-1] and not re.search(r"[.!?] \{(thing|a_v)\}", text), text
    modes = [d.mode for d in make(random.Random(1), [], {"joy": 200}, Overlap())]
    assert set(modes) == {"WARM", "GENERAL"} and modes.count("WARM") > 100


def test_a_job_is_never_answered_with_bot_and_a_sincere_question_always():
    answers = lambda topic: [text for form in FORMS[topic] for text in LISTS["identity"][form]["answers"]]
    assert all("{a_job}" in text and not re.search(r"\bbot\b", text, re.I) for text in answers("job"))
    assert all("{name}" in text and re.search(r"\bbot\b", text, re.I) for text in answers("bot"))
    for name, form in LISTS["identity"].items():
        told = "values" in form
        assert told == name.endswith("_told") and (not told or all("{v}" in text or "{a_v}" in text for text in form["asked"]))


def test_identity_meets_strangers_more_often_than_other_talks():
    made, rng = make(random.Random(1), [], {"identity": 300}, Overlap()), random.Random(1)
    filled = [fill(d, rng, Personas(), 0.4) for d in made]
    assert 0.15 < sum("Arthur" in intro for intro, _ in filled) / len(filled) < 0.35
    for _, d in filled:
        assert all("{" not in text for _, text, _ in d.turns)


def test_a_stranger_never_shares_the_job_or_city_that_the_person_tells():
    turns = [("person", "I'm a Nurse in Lyon, and you?", None), ("friend", "I'm {a_job} in {city}, a different world from yours.", None)]
    told = store.Dialogue("a", "GENERAL", "augmented-identity", "any", ["they used to be a farmer"], turns)
    personas, rng = Personas(), random.Random(1)
    personas.jobs, personas.cities = ["nurse", "farmer", "cook"], ["Lyon", "Oslo"]
    replies = {fill(told, rng, personas, 0.0)[1].turns[1][1] for _ in range(50)}
    assert replies == {"I'm a cook in Oslo, a different world from yours."}


SPELLINGS = {"u": "you", "ur": "your", "yr": "your", "r": "are", "im": "i am", "i'm": "i am", "whats": "what is", "wats": "what is",
             "what's": "what is", "whos": "who is", "who's": "who is", "wat": "what", "pls": "please", "youre": "you are",
             "you're": "you are", "dont": "do not", "don't": "do not", "hows": "how is", "4": "for"}


def respelt(text):
    return " ".join(SPELLINGS.get(word, word) for word in plain(text).split())


def test_templates_are_no_evaluation_text_in_another_spelling():
    known, near = {respelt(text) for text in evaluation_texts()}, Near(NEARLY)
    for text in sorted(text for text in known if len(text.split()) >= 5):
        near.add(text, text)
    forms = [*LISTS["identity"].values(), *LISTS["fact"].values()]
    forms += [form for kind in ("comfort", "joy") for part in ("", "_after", "_closing") for form in LISTS[kind + part]]
    for text in (text for form in forms for part in ("asked", "said", "memory") for text in form.get(part, [])):
        assert " " not in plain(text) or respelt(text) not in known, text
        assert len(plain(text).split()) < 5 or not near.of(respelt(text)), text


def test_mistyping_leaves_values_alone():
    values = [value for entries in LISTS["values"].values() for value in entries]
    for right, wrong in LISTS["typed"]:
        assert right != wrong and not any(right in value.lower().split() for value in values)
    assert {messy(random.Random(n), "What is your dog Pepper called?").lower().count("pepper") for n in range(200)} == {1}


def test_an_epoch_is_decided_by_its_seed_and_shares_nothing_with_what_is_held_out(tmp_path):
    path = tiny.write_dialogues(tmp_path / "a.jsonl")
    settings = {"augment": {"memory": 5}, "persona_chat": 3}
    one, two = Mixture(path, settings), Mixture(path, settings)
    assert one.epoch(1, 0) == two.epoch(1, 0) != one.epoch(1, 1)
    assert "Synthetic-Persona-Chat skipped" in one.notes[0]
    train, test = split(store.read(path))
    assert test and not {subject(d.topic) for d in train} & {subject(d.topic) for d in test}
    assert [e.id for e in one.held_out()] == [d.id for d in test]


def test_topics_of_one_subject_are_on_one_side():
    for one, other in (("new-hearing-aids", "new-hearing-aid"), ("moving-to-sea", "moving-to-the-sea"), ("plain-breakup-text", "breakup-text-2")):
        assert subject(one) == subject(other) and held_out(one) == held_out(other)
    assert subject("night-shift-guard") != subject("night-bus") and subject("the") == "the"
    train, test = split(store.read_all(ROOT / "training/dialogues"))
    assert not {subject(d.topic) for d in train} & {subject(d.topic) for d in test} and 0.08 < len(test) / len(train + test) < 0.12
    with pytest.raises(Problem, match="all 1 dialogues are held out"):
        split([next(d for d in test)])


def test_the_last_stage_brings_dialogues_that_the_epoch_has_not_shown(tmp_path):
    entries = store.read(tiny.write_dialogues(tmp_path / "a.jsonl"))
    # Two files of the text form, in which other dialogues have the same ids.
    (tmp_path / "set").mkdir()
    for name, turn in (("a.txt", "hello"), ("b.txt", "good evening")):
        store.write(tmp_path / "set" / name, [replace(d, turns=[("person", f"{turn}, {d.id} here", None), *d.turns[1:]]) for d in entries])
    settings = {"persona_chat": 0}
    mixture = Mixture(tmp_path / "set", settings, finish=[{"written": 6}])
    said = lambda examples: [e.turns[0][1] for e in examples]
    last, shown = said(mixture.last_stage(1)), said(mixture.epoch(1, 0))
    assert len(set(last)) == 6 and not set(last) & set(shown)
    assert sorted(last + shown) == sorted(d.turns[0][1] for d in mixture.train)
    # Nor as the beginning of a talk that the templates go on with.
    settings["augment"] = {"identity": 60, "recall": 60}
    assert not set(last) & {text for e in mixture.epoch(1, 0) for _, text in e.turns}
    assert any(len(e.turns) > 4 for e in mixture.epoch(1, 0) if e.id.startswith("augmented-identity"))


def test_what_counts_twice_is_not_kept_for_the_last_stage(tmp_path):
    entries = store.read(tiny.write_dialogues(tmp_path / "a.jsonl"))
    rare = [replace(d, turns=[*d.turns[:-1], ("friend", "I'm a bot, honestly.", None)]) for d in entries[::2]]
    store.write(tmp_path / "b.jsonl", rare + entries[1::2])
    mixture = Mixture(tmp_path / "b.jsonl", {"persona_chat": 0}, finish=[{"written": 99}])
    kept, = mixture.kept_back(1)
    assert kept and not {d.id for d in kept} & {d.id for d in rare}
    assert weight(entries[0]) == 1 and weight(replace(entries[0], turns=[("person", "a", None), ("friend", "A bottle, what a bother.", None)])) == 1
