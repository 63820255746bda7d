"""What cannot be trained on is told in words, before hours are spent on it: bases, templates, recipes' values, and texts."""

import json
import re
import shutil

import pytest
import torch

import base
import encode
import recipe as recipes
import tiny
import train
from dataset.problem import Problem


# Bases.
def test_a_folder_whose_adapter_could_not_be_exported_is_refused_before_its_weights_are_read(tmp_path, ready, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    assert train.main([*ready, "--base", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "is of architecture `qwen2`, and the bot takes adapters of llama and gpt_neox only" in told and "Take a Llama" in told


def test_a_gguf_of_another_architecture_is_refused_and_not_sent_to_its_folder(tmp_path):
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "q.gguf", "qwen2")
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    with pytest.raises(Problem, match="is of architecture `qwen2`, and the bot takes adapters of llama and gptneox only") as told:
        base.load(tmp_path / "q.gguf")
    assert "Hugging Face folder instead" not in str(told.value)


@pytest.mark.parametrize("config, told", [(None, "No such file"), ("[1]", "architecture `None`"), ("{", "cannot be loaded: Expecting")])
def test_a_folder_that_names_no_architecture_is_told(tmp_path, config, told):
    if config:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(Problem, match=re.escape(told)):
        base.load(tmp_path)


def test_weights_that_were_cut_off_are_told(tmp_path):
    shutil.copytree(tiny.NEOX, tmp_path / "base")
    weights = tmp_path / "base/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(Problem, match=r"(?s)base cannot be loaded: .*fetch again"):
        base.load(tmp_path / "base")


def test_a_template_that_takes_no_system_text_is_told(llama):
    tokenizer = base.tokenizer_of(llama)
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(Problem, match=r"refuses the words of the system: System role not supported\n.*begins with a system text"):
        encode.Chat(tokenizer)


# Memory.
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore."), MemoryError("no room"),
                                   RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize("place", ["wrap", "loss_sum"])
def test_too_little_memory_is_told_with_what_to_try(tmp_path, ready, capsys, monkeypatch, error, place):
    def full(*_):
        raise error

    monkeypatch.setattr(train.adapter, place, full)
    assert train.main([*ready, "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "the memory does not suffice: " + str(error).splitlines()[0] in told and "`batch_tokens`" in told and "--cpu" in told


def test_another_error_of_pytorch_is_not_taken_for_too_little_memory(tmp_path, ready, monkeypatch):
    def wrong(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(train.adapter, "wrap", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        train.main([*ready, "--out", str(tmp_path / "run")])


# Recipes' values.
@pytest.mark.parametrize("was, line, told", [
    ("[data]", "[data]\naugment = { humor = 3 }", "`humor` in `augment` in [data] is unknown"),
    ("[data]", "[data]\naugment = { joy = -3 }", "in [data] holds no counts"),
    ("[data]", "[data]\nmost_test = 0", "`most_test = 0` in [data] is no count"),
    ("[data]", "[data]\npersona_chat = \"all\"", "`persona_chat = all` in [data] is no count"),
    ("[data]", "[data]\narthur = 40", "`arthur = 40` in [data] is no share"),
    ("[data]", "[data]\ntrain = 5", "`train = 5` in [data] is no text"),
    ("licence = \"tests\"", "licence = true", "`licence = True` in [data] is no text"),
    ("accumulate = 1", "accumulate = 0", "`accumulate = 0` in [optimizer] is no count"),
    ("batch_tokens = 1800", "batch = 0", "`batch = 0` in [optimizer] is no count"),
    ("epochs = 8", "epochs = 0", "`epochs = 0` is no count"),
    ("every_steps = 6", "every_steps = 0", "`every_steps = 0` in [keep] is no count"),
])
def test_a_value_that_cannot_be_is_told_before_anything_is_loaded(tmp_path, was, line, told):
    path = tiny.recipe(tmp_path / "r.toml", "chat", '"all-linear"')
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, line, 1))
    with pytest.raises(Problem, match=re.escape(told)):
        recipes.read(str(path))


@pytest.mark.parametrize("name", ["train", "licence"])
def test_a_recipe_of_plain_texts_names_them_and_their_licence(tmp_path, name):
    path = tiny.recipe(tmp_path / "r.toml", "text", '"all-linear"', data='train = "a"')
    recipes.read(str(path))
    path.write_text(re.sub(rf"(?m)^{name} = .*\n", "", path.read_text()))
    with pytest.raises(Problem, match=rf"`{name}` is missing in \[data\]"):
        recipes.read(str(path))


# Texts.
def read(path, content: bytes):
    path.write_bytes(content)
    return encode.texts(path, base.load(tiny.NEOX)[1], 99)


def test_texts_are_lines_whatever_stands_in_them(tmp_path):
    line = json.dumps({"text": "one\u2028two\u0085three"}, ensure_ascii=False).encode()
    made = read(tmp_path / "t.jsonl", b"\xef\xbb\xbf" + line + b"\r\n\n  \n" + b'{"text": "four"}\n{"text": ""}')
    assert [example.id for example in made] == ["line-1", "line-4"] and all(example.labels == example.ids for example in made)


@pytest.mark.parametrize("content, told", [
    (b'{"text": "a b c d"}\n{"text": "caf\xe9"}\n', r"t\.jsonl:2: not UTF-8"),
    (b'{"text": "a b c d"}\n\n{"words": "a"}\n', r"t\.jsonl:3: no object with a `text`"),
    (b"", "holds no text to learn from"), (b"\n \n", "holds no text to learn from"), (b'{"text": ""}\n', "holds no text to learn from"),
])
def test_texts_that_cannot_be_learnt_from_are_told(tmp_path, content, told):
    with pytest.raises(Problem, match=told):
        read(tmp_path / "t.jsonl", content)
