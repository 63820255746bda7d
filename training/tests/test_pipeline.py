"""From dialogues to an adapter that the bot's engine serves: a tiny GPT-NeoX with the reference's recipe and a tiny Llama with
ours, 20 steps each; the engine's logits and greedy text against Transformers', by `ai-friend models verify`."""

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import base
import expected
import export
import recipe as recipes
import tiny
import train
from dataset import kind, store
from dataset.prompts import ROOT

BINARY = Path(os.environ.get("AI_FRIEND_BINARY", ROOT / "target/release/ai-friend"))


def run(*command):
    done = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def says(gguf, lora, folder):
    """The bot's own answers with the adapter, loaded as a user's: with its licence, base and template looked at."""
    talk = folder / "talk.jsonl"
    talk.write_text(json.dumps({"mode": "GENERAL", "intro": "You are kind.", "turns": [{"who": "person", "text": "hi there"}]}) + "\n")
    answer = json.loads(run("evaluate", "reply", talk, "--model", gguf, "--config", settings(folder, lora)))
    assert set(answer) == {"reply", "tokens", "cut"}


def settings(folder, lora):
    (folder / "settings.toml").write_text(f'[model]\nadapter = "{lora}"\n')
    return folder / "settings.toml"


def losses(folder):
    with (folder / "curve.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def compare(folder, hugging_face, gguf, lora, ids_of):
    """The engine with the GGUF adapter against Transformers with the PEFT folder."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(base.load(hugging_face)[0], folder / "adapter").eval()
    texts = {"short": "hi there", "longer": "hi there, day 7 was long\nthe soup"}
    written = expected.write(folder / "expected", [(name, text, ids_of(text)) for name, text in texts.items()], {"lora_1.0": lambda: model})
    print(run("models", "verify", gguf, "--lora", lora, "--expected", written, "--variant", "lora_1.0", "--limit", "0.04"))


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_a_tiny_llama_with_our_recipe(tmp_path, dtype):
    gguf = tiny.llama_gguf(tmp_path / "tiny.gguf")
    made, out = tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"', rank=8), tmp_path / "run"
    arguments = ["--recipe", made, "--base", gguf, "--dialogues", tiny.write_dialogues(tmp_path / "d.jsonl"), "--out", out, "--max-steps", 20, "--cpu", "--no-bf16"]
    assert train.main([str(argument) for argument in arguments]) == 0
    curve = losses(out)
    assert len(curve) == 20 and sum(curve[-3:]) < 0.9 * sum(curve[:3])
    lora = tmp_path / "friend.gguf"
    export.export(out, gguf, gguf, lora, BINARY, "tiny", dtype)
    card = json.loads((out / "adapter/friend_adapter.json").read_text())
    assert card["base_sha256"] == base.sha256(gguf) and card["template"] == "chat" and card["commercial"] is False
    tokenizer = base.tokenizer_of(gguf)
    compare(out, gguf, gguf, lora, lambda text: tokenizer(text, add_special_tokens=False).input_ids)
    says(gguf, lora, tmp_path)


def test_the_kind_recipes_adapter_names_the_licences_of_its_data(tmp_path):
    # The recipe's own file, but for where the data are; the held-out set is the data's own.
    text = (recipes.FOLDER / "kind.toml").read_text()
    for side in ("train", "test"):
        made = [kind.dialogue(f"dd-{side}-{n}", [f"my day number {n} was long", "Sit down and tell the whole story."], ["joy"] * 2) for n in range(6)]
        store.write(tmp_path / f"{side}.jsonl", made)
        text = re.sub(rf'(?m)^{side} = .*$', f'{side} = "{tmp_path / side}.jsonl"', text)
    (tmp_path / "kind.toml").write_text(text)
    gguf, out, lora = tiny.llama_gguf(tmp_path / "tiny.gguf"), tmp_path / "run", tmp_path / "friend.gguf"
    assert train.main(["--recipe", str(tmp_path / "kind.toml"), "--base", str(gguf), "--out", str(out), "--max-steps", "1", "--cpu", "--no-bf16"]) == 0
    export.export(out, gguf, gguf, lora, BINARY, "tiny", "f32")
    licence, data, commercial = base.fields_of(lora, "general.license", "friend.adapter.data", "friend.adapter.commercial")
    assert commercial is False and data == kind.LICENCE and licence == f"non-commercial; data: {kind.LICENCE}"
    assert json.loads((out / "run.json").read_text())["held_out"] is not None


def test_a_tiny_gpt_neox_with_the_references_recipe(tmp_path):
    # The recipe's own file, but for the rate and the batch, as 20 steps at 4e-5 move a tiny model too little to see.
    text = (recipes.FOLDER / "reference.toml").read_text()
    data = tmp_path / "train.jsonl"
    lines = ["".join(f"{'You' if turn['who'] == 'friend' else 'Person'}: {turn['text']}\n" for turn in entry["turns"]) for entry in tiny.dialogues()]
    data.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    for name, value in (("lr", "2e-2"), ("warm_up", 2), ("batch", 2), ("epochs", 7), ("train", f'"{data}"'), ("test", f'"{data}"'), ("max_tokens", 128)):
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    made, out = tmp_path / "reference.toml", tmp_path / "run"
    made.write_text(text)
    assert train.main(["--recipe", str(made), "--base", str(tiny.NEOX), "--out", str(out), "--max-steps", "20", "--cpu", "--no-bf16"]) == 0
    curve = losses(out)
    assert len(curve) == 20 and sum(curve[-3:]) < 0.95 * sum(curve[:3])
    gguf, lora = tmp_path / "neox.gguf", tmp_path / "lora.gguf"
    run("models", "convert", tiny.NEOX, "-o", gguf, "--dtype", "f32")
    export.export(out, gguf, tiny.NEOX, lora, BINARY, "tiny-neox", "f32")
    tokenizer = base.load(tiny.NEOX)[1]
    compare(out, tiny.NEOX, gguf, lora, lambda text: tokenizer(text, add_special_tokens=False).input_ids)
    says(gguf, lora, tmp_path)
