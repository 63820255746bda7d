"""What an adapter says of itself, by whatever way its data and base were named, and that only a finished run becomes one."""

import json
import os
import shutil
import subprocess

import pytest

import export
import recipe as recipes
import tiny
import train
from dataset.prompts import ROOT

CC0 = 'licence = "training/dialogues and training/first-replies and training/plain-replies, CC0-1.0"'


@pytest.fixture
def data_of(tmp_path, llama):
    """Makes the data of a recipe with these lines in [data] and after it."""
    def made(lines, stage=""):
        path = tiny.recipe(tmp_path / "mine.toml", "chat", '"all-linear"', data=lines)
        path.write_text(path.read_text().replace('licence = "tests"\n', "") + stage)
        return train.Data(recipes.read(str(path)), train.base.tokenizer_of(llama), None, None)

    return made


@pytest.fixture
def own(tmp_path):
    return tiny.write_dialogues(tmp_path / "own.jsonl", 12)


@pytest.mark.parametrize("licence", [CC0, 'licence = ""', ""])
def test_own_dialogues_named_in_a_copy_of_a_recipe_are_not_said_to_be_free(data_of, own, licence):
    data = data_of(f'train = "{own}"\ncommercial = true\n{licence}')
    assert data.commercial is False and data.sources == ["own.jsonl, licence not stated"]
    assert "under which licence" in " ".join(data.notes)


def test_own_dialogues_of_a_last_stage_are_not_said_to_be_free(data_of, own):
    stage = f'[[finish]]\nlr = 1e-3\nwarm_up = 0\ndialogues = "{own}"\n'
    data = data_of(f'commercial = true\ntrain = "training/first-replies/warm.txt"\n{CC0}', stage)
    assert data.commercial is False
    assert data.sources == ["training/dialogues and training/first-replies and training/plain-replies, CC0-1.0; own.jsonl, licence not stated"]


def test_the_owner_may_say_what_the_licence_is(data_of, own):
    for licence in ("ours, CC BY 4.0", "training/dialogues, CC0-1.0; own.jsonl, CC BY 4.0"):
        data = data_of(f'train = "{own}"\ncommercial = true\nlicence = "{licence}"')
        assert data.commercial is True and data.sources == [licence] and not data.notes


def test_the_projects_own_dialogues_stay_free(data_of):
    stage = '[[finish]]\nlr = 1e-3\nwarm_up = 0\ndialogues = "training/first-replies/fix.txt"\n'
    assert data_of(f'train = "training/first-replies/warm.txt"\ncommercial = true\n{CC0}', stage).commercial is True


def test_texts_of_ones_own_are_not_said_to_be_free(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "You: hi"}\n')
    path = tiny.recipe(tmp_path / "mine.toml", "text", '"all-linear"', data=f'train = "{tmp_path / "t.jsonl"}"\ncommercial = true')
    path.write_text(path.read_text().replace('licence = "tests"', CC0))
    data = train.Data(recipes.read(str(path)), train.base.load(tiny.NEOX)[1], None, None)
    assert data.commercial is False and data.sources == ["t.jsonl, licence not stated"] and data.notes


PINNED = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_only_the_embedded_models_licence_is_known():
    run = {"commercial": True, "data": ["ours, CC0-1.0"]}
    assert export.terms(run, PINNED) == {"licence": "Apache-2.0; data: ours, CC0-1.0", "commercial": True}
    # `models list` says of what says nothing that nobody has checked.
    assert export.terms(run, "0" * 64) == {"licence": "unknown, as its base's is; data: ours, CC0-1.0"}
    for base in (PINNED, "0" * 64):
        assert export.terms(run | {"commercial": False}, base) == {"licence": "non-commercial; data: ours, CC0-1.0", "commercial": False}


def test_a_run_that_was_stopped_as_asked_is_no_error_and_no_adapter(tmp_path, ready, capsys):
    run = tmp_path / "run"
    assert train.main([*ready, "--out", str(run), "--max-steps", "1"]) == 0
    assert "stopped as asked, at step 1 of " in capsys.readouterr().out
    arguments = [str(run), "--base", ready[3], "--output", str(tmp_path / "a.gguf"), "--binary", str(tmp_path / "no such bot")]
    assert export.main([*arguments, "--finished-only"]) == 0
    assert "was stopped at step 1 of " in capsys.readouterr().out and not (tmp_path / "a.gguf").exists()
    # A finished one is exported, for which the bot is needed.
    made = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(made | {"steps": made["of"]}))
    assert export.main([*arguments, "--finished-only"]) == 1
    assert "no such bot cannot be run" in capsys.readouterr().err


@pytest.fixture
def make_train(tmp_path):
    """Runs `scripts/training.sh train` on programs that only note what they are asked; gives those notes."""
    def fake(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
        return path

    for name in ("training.sh", "lib.sh"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    note = f'echo "$@" >>"{tmp_path}/asked"'
    fake(tmp_path / "scripts/training-python.sh", f'echo "{fake(tmp_path / "python", note)}"')
    fake(tmp_path / "target/release/ai-friend", note)

    def run(*arguments):
        surroundings = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
        subprocess.run(["bash", tmp_path / "scripts/training.sh", "train", *arguments], env=surroundings, check=True, capture_output=True)
        return (tmp_path / "asked").read_text()

    return run


def test_make_train_leaves_it_to_the_export_whether_a_run_is_finished(make_train, tmp_path):
    asked = make_train("--max-minutes", "30").splitlines()
    assert asked[-2:] == [f"training/train.py --out {tmp_path}/target/training-run/friend --max-minutes 30",
                          f"training/export.py {tmp_path}/target/training-run/friend --binary {tmp_path}/target/release/ai-friend --finished-only"]


def test_make_train_exports_no_run_of_ones_own(make_train):
    assert "export.py" not in make_train("--out", "mine")
