"""How much each input of a base's matrices matters when friends talk, for quantising it: the mean of its squares over dialogues of
training/dialogues, held-out ones left out. Writes the small form that `ai-friend models quantize --importance` reads:

    python importance.py --output models/importance/smollm2-135m-instruct.gguf
"""

import argparse
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import base
import encode
from dataset.mixture import Mixture
from dataset.problem import Problem, exit_code
from dataset.prompts import ROOT

OWN = ROOT / "training/dialogues"
# Of a Llama in Transformers, each matrix with inputs of its own; the others share one of these.
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.down_proj": "ffn_down"}
STEPS_OF_AN_OCTAVE = 8


def squares(model, examples: list) -> dict:
    """{tensor's name in GGUF: mean square of each input} over the examples' tokens."""
    import torch

    sums, tokens, hooks = {}, 0, []

    def listen(name: str):
        def heard(_, inputs, __):
            rows = inputs[0].detach().float().flatten(0, -2)
            sums[name] = sums.get(name, 0) + rows.square().sum(0)

        return heard

    for name, module in model.named_modules():
        for ending, tensor in NAMES.items():
            if name.endswith(f".{ending}"):
                layer = name.removesuffix(f".{ending}").rsplit(".", 1)[1]
                hooks.append(module.register_forward_hook(listen(f"blk.{layer}.{tensor}.weight")))
    if not hooks:
        raise Problem(f"the base has none of the layers {', '.join(NAMES)}", "Take a Llama, such as SmolLM2.")
    with torch.no_grad():
        for example in examples:
            model.base_model(input_ids=torch.tensor([example.ids]), use_cache=False)
            tokens += len(example.ids)
    for hook in hooks:
        hook.remove()
    return {name: (total / tokens).tolist() for name, total in sums.items()}


def octaves(values: list) -> list:
    """Eighths of an octave below the largest, from -128 for the largest itself to 127 for whatever is 32 octaves smaller."""
    largest = max(values)
    if not largest > 0:
        raise Problem("a matrix has no input that is not 0", "The base's weights may be broken.")
    below = (math.log2(largest / value) * STEPS_OF_AN_OCTAVE if value > 0 else math.inf for value in values)
    return [round(min(255, steps)) - 128 for steps in below]


def write(path: Path, matrices: dict, about: str) -> None:
    import gguf
    import numpy

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    writer.add_string("imatrix.datasets", about)
    for name, values in matrices.items():
        writer.add_tensor(name.removesuffix(".weight") + ".weight.octaves", numpy.array(octaves(values), dtype=numpy.int8))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(options) -> None:
    model, tokenizer = base.load(options.base)
    chat = encode.Chat(tokenizer)
    examples = Mixture(options.dialogues, {}).epoch(1, 0)
    random.Random(0).shuffle(examples)
    encoded = [chat.encode(e.id, e.mode, e.system, e.turns, 448) for e in examples[: options.count]]
    matrices = squares(model, encoded)
    licence = ", CC0-1.0" if options.dialogues.resolve() == OWN else ""
    write(options.output, matrices, f"{len(encoded)} dialogues of {options.dialogues.name}{licence}")
    print(f"{options.output}: {len(matrices)} matrices, {sum(len(e.ids) for e in encoded)} tokens, {options.output.stat().st_size:,} bytes")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=base.SOURCE, help="a .gguf or a Hugging Face folder of a Llama")
    parser.add_argument("--dialogues", type=Path, default=OWN)
    parser.add_argument("--count", type=int, default=120, help="so many dialogues")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
