"""The importance matrix: what it says of a base, and that the bot quantises by it."""

import pytest

import base
import importance
import tiny
from dataset.problem import Problem
from test_pipeline import run


def test_importances_are_octaves_below_the_largest():
    assert importance.octaves([8.0, 4.0, 1.0, 8.0 / 2**0.125, 0.0, 1e-30]) == [-128, -120, -104, -127, 127, 127]
    with pytest.raises(Problem, match="not 0"):
        importance.octaves([0.0, 0.0])


def test_squares_are_means_over_all_tokens_of_all_dialogues(tmp_path):
    import torch

    class Example:
        def __init__(self, ids):
            self.ids = ids

    model, _ = base.load(tiny.llama_gguf(tmp_path / "tiny.gguf"))
    first, second = (importance.squares(model, [Example(ids)]) for ids in ((5, 9, 9), (7,)))
    both = importance.squares(model, [Example((5, 9, 9)), Example((7,))])
    name = "blk.1.ffn_down.weight"
    assert set(both) == {f"blk.{i}.{part}.weight" for i in range(2) for part in ("attn_q", "attn_output", "ffn_gate", "ffn_down")}
    assert both[name] == pytest.approx([(3 * a + b) / 4 for a, b in zip(first[name], second[name])], rel=1e-4)
    # The first matrix reads the normed embedding.
    layer = model.model.layers[0].input_layernorm(model.model.embed_tokens(torch.tensor([[7]])))
    assert second["blk.0.attn_q.weight"] == pytest.approx(layer[0, 0].detach().square().tolist(), rel=1e-4)


def test_the_bot_quantises_by_what_was_written(tmp_path, capsys):
    gguf, made = tiny.llama_gguf(tmp_path / "tiny.gguf"), tmp_path / "importance.gguf"
    arguments = ["--base", gguf, "--dialogues", tiny.write_dialogues(tmp_path / "d.jsonl"), "--count", "6", "--output", made]
    assert importance.main([str(argument) for argument in arguments]) == 0
    assert "8 matrices" in capsys.readouterr().out
    plain, weighed = tmp_path / "plain.gguf", tmp_path / "weighed.gguf"
    run("models", "quantize", gguf, plain, "--type", "Q4_0")
    run("models", "quantize", gguf, weighed, "--type", "Q4_0", "--importance", made)
    assert weighed.stat().st_size == plain.stat().st_size and weighed.read_bytes() != plain.read_bytes()


def test_a_base_without_such_layers_is_told():
    import torch

    with pytest.raises(Problem, match="none of the layers"):
        importance.squares(torch.nn.Linear(2, 2), [])
