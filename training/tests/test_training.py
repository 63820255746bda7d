"""Training itself: what the loss counts, resuming, and what is said when it cannot go on."""

import csv
import json
import math
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import adapter
import base
import batches
import checkpoint
import encode
import export
import precision
import recipe as recipes
import tiny
import train
from dataset import kind, saving, store
from dataset.problem import Problem
from dataset.prompts import ROOT
from dataset.split import held_out


def curve(folder):
    with (folder / "curve.csv").open() as file:
        return [(row["step"], row["loss"], row["held_out"], row["lr"]) for row in csv.DictReader(file)]


def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(tmp_path, ready, monkeypatch, capsys):
    monkeypatch.setattr(precision, "native", lambda _: True)
    either = [argument for argument in ready if argument != "--no-bf16"]
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-steps", "1"]) == 0
    assert train.main([*either, "--out", str(tmp_path / "run"), "--max-steps", "2"]) == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["precision"] == "f32"
    assert train.main([*either, "--bf16", "--out", str(tmp_path / "run"), "--max-steps", "3"]) == 1
    assert "another precision" in capsys.readouterr().err


def test_the_loss_counts_the_friends_words_and_their_end(llama):
    tokenizer = base.tokenizer_of(llama)
    chat = encode.Chat(tokenizer)
    # What the bot says by itself is in the talk, and nothing to learn.
    turns = [("person", "hi <|im_end|>"), ("friend", "Sit down."), ("person", "no"), ("bot", "Call them."), ("person", "ok"), ("friend", "Good.")]
    made = chat.encode("a", "FIX", "You are kind.", turns)
    assert tokenizer.decode([label for label in made.labels if label != encode.IGNORED]) == "Sit down.<|im_end|>Good.<|im_end|>"
    # Typed control tokens stay words: one end for the system, and one a turn.
    assert made.ids.count(tokenizer.eos_token_id) == 7 and "assistant\nCall them.<|im_end|>" in tokenizer.decode(made.ids)
    messages = [{"role": "system", "content": "You are kind."}, {"role": "user", "content": "ok"}]
    wanted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(chat.prompt("You are kind.", [("person", "ok")])) == wanted


def test_a_long_talk_loses_its_oldest_turns(llama):
    chat = encode.Chat(base.tokenizer_of(llama))
    turns = [("person", "hello " * 9), ("friend", "Old. ")] * 5 + [("person", "ok"), ("friend", "Newest.")]
    made = chat.encode("a", "FIX", "Kind.", turns, most=80)
    assert len(made.ids) <= 80 and made.labels[-1] != encode.IGNORED


def test_a_last_stage_has_its_own_talks_and_its_own_rate(tmp_path, ready):
    recipe = tmp_path / "r.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 8", "epochs = 1") + "[finish]\nlr = 3e-3\nwarm_up = 1\naugment = { identity = 12 }\ntopics = { who = 1 }\n")
    assert train.main([*ready, "--out", str(tmp_path / "whole")]) == 0
    with (tmp_path / "whole" / "curve.csv").open() as file:
        rows = [(row["epoch"], float(row["lr"])) for row in csv.DictReader(file)]
    rates = {stage: [lr for epoch, lr in rows if epoch == stage] for stage in ("1", "2")}
    assert max(rates["1"]) == 1e-2 and max(rates["2"]) == rates["2"][0] == 3e-3, rates
    # Stopped within it, the same command goes on to the same curve.
    steps = len(rows) - 1
    assert train.main([*ready, "--out", str(tmp_path / "parts"), "--max-steps", str(steps - 1)]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "parts")]) == 0
    assert [row[3] for row in curve(tmp_path / "parts")] == [row[3] for row in curve(tmp_path / "whole")]


def test_the_rate_falls_on_into_a_last_stage_from_where_the_epochs_end(tmp_path, ready):
    recipe = tmp_path / "r.toml"
    text = recipe.read_text().replace("epochs = 8", "epochs = 1").replace("lr = 1e-2", "lr = 1e-2\nlr_end = 3e-3")
    recipe.write_text(text + "[finish]\nlr = 3e-3\nwarm_up = 0\naugment = { identity = 12 }\n")
    run = train.Run(recipes.read(str(recipe)), train.options_of([*ready, "--out", str(tmp_path / "run")]))
    rates = [run.rate(step) for step in range(run.steps)]
    assert rates[run.before_finish] == 3e-3 and all(a >= b for a, b in zip(rates[3:], rates[4:])), rates


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def test_a_stage_goes_a_share_of_the_way_back_at_its_end(tmp_path, ready):
    recipe = tmp_path / "r.toml"
    text = recipe.read_text().replace("epochs = 8", "epochs = 1") + "[finish]\nlr = 3e-3\nwarm_up = 0\naugment = { identity = 12 }\n"
    recipe.write_text(text)
    steps = train.Run(recipes.read(str(recipe)), train.options_of([*ready, "--out", str(tmp_path / "none")])).ends
    assert train.main([*ready, "--out", str(tmp_path / "begin"), "--max-steps", str(steps[0])]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "end")]) == 0
    recipe.write_text(text + "back = 0.25\n")
    # Stopped within the stage, too.
    assert train.main([*ready, "--out", str(tmp_path / "back"), "--max-steps", str(steps[1] - 1)]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "back")]) == 0
    begin, end, back = (weights(tmp_path / name) for name in ("begin", "end", "back"))
    assert any(not torch.allclose(begin[name], end[name]) for name in begin)
    for name, value in back.items():
        torch.testing.assert_close(value, 0.75 * end[name] + 0.25 * begin[name])


def ids(run, stage):
    return [example.id for example in run.examples(stage)]


def test_last_stages_follow_each_other_each_with_its_own_rate_and_talks(tmp_path, staged):
    own = tiny.write_dialogues(tmp_path / "own.jsonl", 9)
    before, run = staged(["written = 4"]), staged(["written = 4", f'again = 5\ndialogues = "{own}"'])
    # What comes before is as it would be without the new one.
    assert [run.plan(number) for number in range(2)] == [before.plan(number) for number in range(2)]
    assert [run.rate(step) for step in range(before.steps)] == [before.rate(step) for step in range(before.steps)]
    rates = [run.rate(step) for step in range(run.ends[1], run.steps)]
    assert rates[0] == 2e-3 and rates == sorted(rates, reverse=True) and rates[-1] > 0
    # Its own, but for those of a subject that is held out, and some that were shown before.
    allowed = [d for d in store.read(own) if not held_out(d.topic)]
    assert len(run.examples(2)) == 5 + len(allowed) and 0 < len(allowed) < 9


def test_each_last_stage_brings_its_own_new_dialogues_and_again_only_what_was_shown(staged):
    run = staged(["written = 4\nagain = 99", "written = 3\nagain = 99"])
    epoch, one, other = (ids(run, stage) for stage in range(3))
    new, newer = one[:4], other[:3]
    assert not set(new) & set(epoch) and not set(newer) & set(epoch + one) and len(set(one)) == len(one)
    assert set(one[4:]) == set(epoch) and set(other[3:]) == set(epoch) | set(new)


def test_a_stages_dialogues_that_touch_an_evaluation_set_are_left_out(tmp_path, staged):
    told = json.loads((ROOT / "training/evaluation/feelings.jsonl").read_text().splitlines()[0])["turns"][0]
    own = [d for d in store.read(tiny.write_dialogues(tmp_path / "own.jsonl", 9)) if not held_out(d.topic)]
    own[0].turns[0] = ("person", told.upper(), None)
    store.write(tmp_path / "own.jsonl", own)
    run = staged([f'dialogues = "{tmp_path / "own.jsonl"}"'])
    assert len(run.examples(1)) == len(own) - 1 and f"1 of {len(own)} dialogues of own.jsonl left out" in run.data.notes[-1]


@pytest.mark.parametrize("name, mode", [("general", "GENERAL"), ("crossed", "WARM")])
@pytest.mark.parametrize("share, wanted", [(0, 1), (1, 2)])
def test_a_share_of_a_stages_dialogues_is_also_shown_where_the_bot_mistakes_the_feeling(tmp_path, staged, share, wanted, name, mode):
    own = [d for d in store.read(tiny.write_dialogues(tmp_path / "own.jsonl", 9)) if not held_out(d.topic) and d.mode == "FIX"]
    store.write(tmp_path / "own.jsonl", own)
    run = staged([f'dialogues = "{tmp_path / "own.jsonl"}"\n{name} = {share}'])
    assert sorted(example.mode for example in run.examples(1)) == sorted(["FIX"] * len(own) + [mode] * len(own) * (wanted - 1))


def test_a_stage_shows_the_dialogues_of_a_mode_as_often_as_it_says(tmp_path, staged):
    own = [d for d in store.read(tiny.write_dialogues(tmp_path / "own.jsonl", 9)) if not held_out(d.topic)]
    store.write(tmp_path / "own.jsonl", own)
    run = staged([f'dialogues = "{tmp_path / "own.jsonl"}"\ntimes = {{ FIX = 3, FLIRT = 0 }}'])
    expected = Counter(mode for mode in (d.mode for d in own) for _ in range({"FIX": 3, "FLIRT": 0}.get(mode, 1)))
    assert expected["FIX"] and Counter(example.mode for example in run.examples(1)) == expected


def test_own_dialogues_are_not_followed_by_the_projects(tmp_path, staged, ready):
    own = tiny.write_dialogues(tmp_path / "own.jsonl", 9)
    run = staged([f'again = 2\ndialogues = "{own}"'], "--dialogues", ready[-1])
    assert len(run.examples(1)) == 2


def test_a_last_stage_with_nothing_in_it_is_told(staged):
    with pytest.raises(Problem, match=r"stage 1 of \[\[finish\]\] holds no dialogue"):
        staged([""])


@pytest.mark.parametrize("line, told", [
    ("finish = 5", "is no table"), ("finish = [1]", "is no table"), ("[[finish]]\nlr = 1.0", "`warm_up` is missing"),
    ("[finish]\nlr = 1.0\nwarm_up = 0\nagain = -3", "is no count"), ("[finish]\nlr = 1.0\nwarm_up = 0\nwritten = \"many\"", "is no count"),
    ("[finish]\nlr = 1.0\nwarm_up = 0\nback = -0.1", "is no share"), ("[finish]\nlr = 1.0\nwarm_up = 0\ndialogues = 5", "is no text"), ("[finish]\nlr = 1.0\nwarm_up = 0\ngeneral = 2", "is no share"), ("[finish]\nlr = 1.0\nwarm_up = 0\naugment = { humor = 3 }", "`humor` in `augment`"),
    ("[finish]\nlr = 1.0\nwarm_up = 0\naugment = 5", "holds no counts"), ("[finish]\nlr = 1.0\nwarm_up = 0\ntopics = { job = -1 }", "holds no counts"),
    ("[finish]\nlr = 1.0\nwarm_up = 0\ntopics = { zodiac = 3 }", "`zodiac` in `topics`"),
    ("[finish]\nlr = 1.0\nwarm_up = 0\ntimes = { SAD = 2 }", "`SAD` in `times`"), ("[finish]\nlr = 1.0\nwarm_up = 0\ntimes = 2", "holds no counts"),
])
def test_a_last_stage_that_cannot_be_is_told(tmp_path, line, told):
    path = tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"')
    path.write_text(f"{line}\n{path.read_text()}" if line.startswith("finish") else f"{path.read_text()}{line}\n")
    with pytest.raises(Problem, match=re.escape(told)):
        recipes.read(str(path))


def test_a_recipe_is_the_same_however_its_one_last_stage_is_written(tmp_path):
    def identity(text):
        path = tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"')
        path.write_text(path.read_text() + text)
        return recipes.identity(recipes.read(str(path)))

    one = identity("[finish]\nlr = 1.0\nwarm_up = 0\n")
    assert one == identity("[[finish]]\nlr = 1.0\nwarm_up = 0\n") != identity("") and '"finish": {' in one and "finish" not in identity("")


def test_what_is_held_out_is_measured_once_a_step(tmp_path, ready, monkeypatch):
    seen = []
    measure = adapter.held_out_loss
    monkeypatch.setattr(adapter, "held_out_loss", lambda *given: seen.append(1) or measure(*given))
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-steps", "2"]) == 0
    # Before the first step, and after the last.
    assert len(seen) == 2 and json.loads((tmp_path / "run/run.json").read_text())["held_out_by_mode"]


def test_a_last_stage_of_a_recipe_for_plain_text_is_refused(tmp_path):
    path = tiny.recipe(tmp_path / "r.toml", "text", '"all-linear"', data='train = "a"')
    path.write_text(path.read_text() + "[finish]\nlr = 1e-3\n")
    with pytest.raises(Problem, match="finish"):
        recipes.read(str(path))


def test_the_loss_where_it_counts_is_transformers_loss(llama):
    model, tokenizer = base.load(llama)
    chat = encode.Chat(tokenizer)
    made = [chat.encode("a", "FIX", "You are kind.", [("person", "hi " * n), ("friend", "Sit down " * n)]) for n in (1, 4)]
    ids, labels = batches.tensors(made)
    total, count = adapter.loss_sum(model, ids, labels)
    wanted = model(input_ids=ids, labels=labels).loss
    assert math.isclose(total.item() / count, wanted.item(), rel_tol=1e-4)


def test_batches_hold_their_size_and_everything_once(llama):
    chat = encode.Chat(base.tokenizer_of(llama))
    examples = [chat.encode(str(n), "FIX", "Kind.", [("person", "hi " * (n % 17)), ("friend", "Yes.")]) for n in range(60)]
    made = batches.plan(examples, 1, 0, {"batch_tokens": 300})
    assert sorted(i for batch in made for i in batch) == list(range(60))
    assert all(len(batch) * max(len(examples[i].ids) for i in batch) <= 300 for batch in made)
    assert made == batches.plan(examples, 1, 0, {"batch_tokens": 300}) != batches.plan(examples, 1, 1, {"batch_tokens": 300})


@pytest.mark.parametrize("dropout, accumulate, first, last", [(0.0, 1, 5, 14), (0.3, 2, 3, 6)])
def test_a_stopped_run_goes_on_to_the_same_curve(tmp_path, ready, dropout, accumulate, first, last):
    recipe = tmp_path / "r.toml"
    recipe.write_text(recipe.read_text().replace("dropout = 0.0", f"dropout = {dropout}").replace("accumulate = 1", f"accumulate = {accumulate}"))
    assert train.main([*ready, "--out", str(tmp_path / "whole"), "--max-steps", str(last)]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "parts"), "--max-steps", str(first)]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "parts"), "--max-steps", str(last)]) == 0
    whole = {row[0]: row[1] for row in curve(tmp_path / "whole")}
    assert whole == {row[0]: row[1] for row in curve(tmp_path / "parts")} and len(whole) == last + 1
    first, second = (torch.load(tmp_path / name / "checkpoint.pt")["adapter"] for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "whole/curve.png").stat().st_size > 5000 and list((tmp_path / "whole/tensorboard").glob("events.*"))
    assert json.loads((tmp_path / "whole/adapter/adapter_config.json").read_text())["base_model_name_or_path"] == ""


def test_a_step_in_parts_learns_what_it_learns_at_once(tmp_path, ready, monkeypatch):
    run = train.Run(recipes.read(ready[1]), train.options_of([*ready, "--out", str(tmp_path / "run")]))
    run.settings["clip"] = 1e9  # Else a wrong scale would not show.
    short, long = (run.data.chat.encode(words, "FIX", "Kind.", [("person", "hi"), ("friend", words)]) for words in ("Yes.", "Sit down and tell the whole story."))
    assert short.counted() < long.counted()
    run.epochs[0], seen = [short, long], []
    monkeypatch.setattr(run.optimizer, "step", lambda: seen.append([p.grad.clone() for p in run.model.parameters() if p.requires_grad]))
    (in_parts, _), (at_once, _) = (run.step(0, group, 1e-3) for group in ([[0], [1]], [[0, 1]]))
    assert math.isclose(in_parts, at_once, rel_tol=1e-5) and any(grad.abs().max() > 1e-3 for grad in seen[0])
    for one, other in zip(*seen):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, ready, monkeypatch):
    step = train.Run.step
    def killed(self, number, group, lr):
        if len(self.steps_done) == 8:
            raise KeyboardInterrupt
        self.steps_done.append(1)
        return step(self, number, group, lr)

    monkeypatch.setattr(train.Run, "steps_done", [], raising=False)
    monkeypatch.setattr(train.Run, "step", killed)
    assert train.main([*ready, "--out", str(tmp_path / "killed"), "--max-steps", "12"]) == 130
    monkeypatch.setattr(train.Run, "step", step)
    assert train.main([*ready, "--out", str(tmp_path / "killed"), "--max-steps", "12"]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "whole"), "--max-steps", "12"]) == 0
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")


def test_another_recipe_does_not_go_on_with_a_run(tmp_path, ready, capsys):
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-steps", "2"]) == 0
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--seed", "9"]) == 1
    assert "holds a run with another seed" in capsys.readouterr().err


def test_other_dialogues_or_another_base_do_not_go_on_with_a_run(tmp_path, ready, llama, capsys):
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-steps", "2"]) == 0
    dialogues = tmp_path / "d.jsonl"
    was = dialogues.read_text()
    # As many tokens and steps, one number told for another.
    dialogues.write_text(was.replace("day 1", "day 2"))
    assert train.main([*ready, "--out", str(tmp_path / "run")]) == 1
    assert "holds a run with other dialogues" in capsys.readouterr().err
    dialogues.write_text(was)
    other = tmp_path / "other.gguf"
    other.write_bytes(llama.read_bytes())
    assert train.main([*ready, "--base", str(other), "--out", str(tmp_path / "run"), "--max-steps", "3"]) == 0, "the same base elsewhere"
    content = bytearray(llama.read_bytes())
    content[-8] ^= 1
    other.write_bytes(content)
    assert train.main([*ready, "--base", str(other), "--out", str(tmp_path / "run"), "--max-steps", "4"]) == 1
    assert "holds a run with another base" in capsys.readouterr().err


def test_a_run_that_was_stopped_tells_its_own_loss_and_replaces_no_shipped_adapter(tmp_path, ready, monkeypatch):
    # The time is up after two steps.
    times = iter([0.0] * 9)
    monkeypatch.setattr(train, "time", SimpleNamespace(monotonic=lambda: next(times, 1e9)))
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-minutes", "1"]) == 0
    made = json.loads((tmp_path / "run/run.json").read_text())
    assert 0 < made["steps"] < made["of"] and made["held_out"] != made["held_out_before"]
    low, high = min(made["held_out_by_mode"].values()), max(made["held_out_by_mode"].values())
    assert low <= made["held_out"] <= high
    del made["base"]  # as of a run that was begun before it was noted
    with pytest.raises(Problem, match="stopped at step"):
        export.unfit(made, tmp_path / "base.gguf", tmp_path / "run", shipped=True)
    export.unfit(made, tmp_path / "base.gguf", tmp_path / "run", shipped=False)


def test_an_adapter_is_exported_over_the_base_that_it_was_trained_on(tmp_path, llama):
    made = {"steps": 1, "of": 1, "base": base.identity(llama)}
    export.unfit(made, llama, tmp_path, shipped=True)
    (tmp_path / "other.gguf").write_bytes(b"other")
    with pytest.raises(Problem, match="another base"):
        export.unfit(made, tmp_path / "other.gguf", tmp_path, shipped=False)


def test_an_adapter_of_a_folder_names_the_file_that_is_served(tmp_path, capsys):
    assert export.main([str(tmp_path), "--base", str(tiny.NEOX), "--output", str(tmp_path / "a.gguf")]) == 1
    assert "--source" in capsys.readouterr().err


def test_options_are_written_out(tmp_path):
    with pytest.raises(SystemExit):
        train.options_of(["--out", str(tmp_path), "--dial", "mine.txt"])


def test_own_dialogues_are_not_said_to_be_free(tmp_path, ready):
    shipped = {"licence": "training/dialogues, CC0-1.0", "commercial": True, "train": "a"}
    mine = recipes.of_dialogues(shipped, tmp_path / "d.jsonl")
    assert mine == {"licence": "d.jsonl, licence not stated", "commercial": False}
    assert recipes.of_dialogues(shipped, recipes.FOLDER.parent / "dialogues/fix.txt") == {"licence": shipped["licence"], "commercial": True}
    own = {"licence": "ours, CC BY 4.0", "commercial": True}
    assert recipes.of_dialogues(own, tmp_path / "d.jsonl") == own, "a copy of the recipe says what its owner knows"
    recipe = tmp_path / "r.toml"
    text = re.sub(r"(?m)^(licence|commercial) = .*\n", "", recipe.read_text())
    recipe.write_text(text.replace("[data]\n", '[data]\nlicence = "training/dialogues, CC0-1.0"\ncommercial = true\n'))
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--max-steps", "1"]) == 0
    made = json.loads((tmp_path / "run/run.json").read_text())
    assert made["commercial"] is False and made["data"] == ["d.jsonl, licence not stated"] and "under which licence" in " ".join(made["notes"])


def test_dialogues_beside_a_recipe_of_plain_texts_are_refused(tmp_path, ready, capsys):
    (tmp_path / "t.jsonl").write_text('{"text": "You: hi"}\n')
    tiny.recipe(tmp_path / "r.toml", "text", '"all-linear"', data=f'train = "{tmp_path / "t.jsonl"}"')
    assert train.main([*ready, "--out", str(tmp_path / "run")]) == 1
    assert "not on dialogues" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_and_says_what_to_try(tmp_path, ready, capsys, monkeypatch):
    whole = adapter.loss_sum
    monkeypatch.setattr(train.adapter, "loss_sum", lambda *arguments: (whole(*arguments)[0] * math.nan, 1))
    assert train.main([*ready, "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "diverged" in told and "Try half the rate (lr = 5.0e-03)" in told


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path):
    import errno

    path = tmp_path / "checkpoint.pt"
    path.write_text("whole")

    def full(beside):
        beside.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Problem, match="the disk is full"):
        saving.write(path, full, checkpoint.ADVICE)
    assert path.read_text() == "whole" and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("change, told", [
    (("--base", "nowhere.gguf"), "there is no base model at nowhere.gguf"),
    (("--base", __file__), "neither a folder nor a .gguf"),
    (("--recipe", "nothing"), "Known: kind, reference, smollm2"),
    (("--dialogues", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
])
def test_bad_arguments_are_told(tmp_path, ready, capsys, change, told):
    assert train.main([*ready, "--out", str(tmp_path / "run"), *change]) == 1
    assert told in capsys.readouterr().err


def test_a_recipe_that_does_not_fit_its_base_is_told(tmp_path, ready, capsys):
    other = tiny.recipe(tmp_path / "other.toml", "chat", '["query_key_value"]')
    assert train.main([*ready, "--out", str(tmp_path / "run"), "--recipe", str(other)]) == 1
    assert re.search("does not fit this base.*\n.*this base has: .*q_proj", capsys.readouterr().err)


def test_a_recipes_typo_is_told(tmp_path):
    path = tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"', extra="batch_token = 9")
    with pytest.raises(Problem, match=r"`batch_token` is unknown in \[optimizer\]"):
        recipes.read(str(path))


@pytest.mark.parametrize(("line", "told"), [
    ("max_tokens", r"`max_tokens` is missing\n"), ("clip", r"`clip` is missing in \[optimizer\]"), ("every_steps", r"`every_steps` is missing in \[keep\]"),
    ("lr = 3e-4", r"`lr` is missing in \[finish\]"), ("batch_tokens", "neither `batch_tokens` nor `batch`"),
])
def test_what_a_recipe_lacks_is_told_before_it_runs(tmp_path, line, told):
    lines = (recipes.FOLDER / "smollm2.toml").read_text().splitlines()
    path = tmp_path / "r.toml"
    path.write_text("\n".join(other for other in lines if not other.startswith(line)))
    with pytest.raises(Problem, match=told):
        recipes.read(str(path))


def test_a_recipe_cannot_claim_commercial_use_of_non_commercial_data(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((recipes.FOLDER / "kind.toml").read_text().replace("commercial = false", "commercial = true"))
    with pytest.raises(Problem, match="commercial = true, but the data's licence is `EmpatheticDialogues, CC BY-NC 4.0"):
        recipes.read(str(path))
    made = recipes.read("kind")
    assert made["data"]["commercial"] is False and made["data"]["licence"] == kind.LICENCE and made["template"] == "chat"


@pytest.mark.parametrize("data", ["commercial = true", "commercial = false"])
def test_non_commercial_dialogues_are_known_whatever_the_recipe_says(tmp_path, ready, capsys, data):
    free = tiny.recipe(tmp_path / "free.toml", "chat", '"all-linear"', data=data)
    made = [kind.dialogue(f"ed-train-{n}", [f"my day number {n} was long", "Sit down and tell the whole story."], ["joy"] * 2) for n in range(12)]
    store.write(tmp_path / "kind.jsonl", made)
    assert train.main([*ready, "--recipe", str(free), "--dialogues", str(tmp_path / "kind.jsonl"), "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "is under EmpatheticDialogues, CC BY-NC 4.0" in told and "recipe `free` does not say so" in told and not (tmp_path / "run").exists()


def test_a_stages_non_commercial_dialogues_are_known_too(tmp_path, staged):
    made = [kind.dialogue(f"ed-train-{n}", [f"my day number {n} was long", "Sit down and tell the whole story."], ["joy"] * 2) for n in range(12)]
    store.write(tmp_path / "kind.jsonl", made)
    with pytest.raises(Problem, match="is under EmpatheticDialogues, CC BY-NC 4.0"):
        staged([f'dialogues = "{tmp_path / "kind.jsonl"}"'])


def test_the_reference_recipe_holds_the_references_values():
    made = recipes.read("reference")
    assert (made["lora"], made["epochs"], made["max_tokens"]) == ({"r": 16, "alpha": 32, "dropout": 0.05, "targets": ["query_key_value"]}, 2, 1024)
    assert {name: made["optimizer"][name] for name in ("lr", "warm_up", "batch", "accumulate")} == {"lr": 4e-5, "warm_up": 20, "batch": 8, "accumulate": 4}
