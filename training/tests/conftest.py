"""What the tests of training share: a tiny base, and runs on it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import recipe as recipes
import tiny
import train


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tiny.llama_gguf(tmp_path_factory.mktemp("llama") / "tiny.gguf")


@pytest.fixture
def ready(tmp_path, llama):
    """Arguments of a run on the tiny model, but for --out."""
    return ["--recipe", str(tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"')), "--base", str(llama), "--cpu", "--no-bf16", "--threads", "1",
            "--dialogues", str(tiny.write_dialogues(tmp_path / "d.jsonl"))]


@pytest.fixture
def staged(tmp_path, ready):
    """Makes a run of an epoch and these last stages; its dialogues stand in the recipe, as the project's do."""
    args = [*ready[2:-2], "--recipe", str(tmp_path / "staged.toml"), "--out", str(tmp_path / "run")]
    data = f'train = "{ready[-1]}"'

    def made(stages, *more):
        path = tiny.recipe(tmp_path / "staged.toml", "chat", '"all-linear"', data=data)
        path.write_text(path.read_text().replace("epochs = 8", "epochs = 1") + "".join(f"[[finish]]\nlr = 2e-3\nwarm_up = 0\n{stage}\n" for stage in stages))
        return train.Run(recipes.read(str(path)), train.options_of([*args, *more]))

    return made
