"""Turns a calibrated run into the artefact that ships: `python export.py runs/1 --to .`

`model.onnx`: `input_ids`, `attention_mask` (int64, [batch, sequence], both dynamic) → `logits` (float, [batch, 7]), whose
softmax gives calibrated probabilities, and `danger` (float, [batch, 3]), logits in the order that config.json tells. Weights are
8-bit integers with one scale an output channel (one a row for the word embeddings); activations stay float. Standard operators only (opset 18), and no result depends on what else is in the batch:
quantising activations by the batch's own range saves a little time and changes 3 modes in 100 with the company a message
keeps.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from danger import CLASSES
from data import LABELS
from model import EmotionModel
from tokenizer import MAX_LENGTH, build_tokenizer
from train import base_folder

OPSET = 18


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("run", type=Path, help="folder that holds calibrated.pt")
    options.add_argument("--to", type=Path, default=Path(__file__).parent)
    options.add_argument("--base", type=Path)
    given = options.parse_args()
    model = EmotionModel()
    model.load_state_dict(torch.load(given.run / "calibrated.pt"))
    fp32 = given.run / "model.fp32.onnx"
    export_fp32(model, fp32)
    quantized = quantize(onnx.load(fp32))
    onnx.checker.check_model(quantized, full_check=True)
    onnx.save(quantized, given.to / "model.onnx")
    tokenizer = build_tokenizer(given.base or base_folder())
    (given.to / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")),
                                             encoding="utf-8")
    (given.to / "config.json").write_text(json.dumps(config(), indent=2) + "\n")
    size = (given.to / "model.onnx").stat().st_size
    print(f"{given.to / 'model.onnx'}: {size:,} bytes")


def config() -> dict:
    """What a reader of the artefact has to know beside the graph. The temperature is inside the graph, hence 1 here."""
    return {
        "architecture": "MiniLM-L6-H384, mean and max pooling, 7 labels and 3 of danger",
        "danger": list(CLASSES),
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
        "max_length": MAX_LENGTH,
        "temperature": 1.0,
    }


def export_fp32(model: EmotionModel, path: Path) -> None:
    """The float graph; positions beyond `MAX_LENGTH` are never reached and stay out of the file."""
    model.eval()
    model.positions = torch.nn.Parameter(model.positions[:MAX_LENGTH].clone())
    ids = torch.tensor([[101, 7592, 2088, 102], [101, 7592, 102, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    axes = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (ids, mask), str(path), dynamo=False, opset_version=OPSET,
                          input_names=["input_ids", "attention_mask"], output_names=["logits", "danger"],
                          dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}, "danger": {0: "batch"}})


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weight-only int8: MatMul and Gemm weights through DequantizeLinear, the embedding table row by row after its Gather."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        wide = [name for name in node.input if name in weights and len(weights[name].dims) == 2]
        if node.op_type in ("MatMul", "Gemm") and wide == [node.input[1]]:
            # A Gemm's weight stands the other way round: [out, in].
            nodes += [dequantize_matrix(graph, weights[wide[0]], 1 if node.op_type == "MatMul" else 0), node]
            node.input[1] += "_float"
        elif node.op_type == "Gather" and wide == [node.input[0]]:
            nodes += quantize_gather(graph, weights[wide[0]], node)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def to_int8(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric: integers, and the scale for each slice that keeps `axis`. Of 20 clipping points, the least squared error."""
    axes = tuple(i for i in range(values.ndim) if i != axis)
    top = np.maximum(np.abs(values).max(axes, keepdims=True), 1e-12)
    best, best_error = None, np.full(top.shape, np.inf)
    for share in np.linspace(0.81, 1.0, 20):
        scale = top * share / 127
        integers = np.clip(np.rint(values / scale), -127, 127)
        error = ((integers * scale - values) ** 2).sum(axes, keepdims=True)
        if best is None:
            best = (integers.copy(), scale.copy())
        better = error < best_error
        best = (np.where(better, integers, best[0]), np.where(better, scale, best[1]))
        best_error = np.where(better, error, best_error)
    return best[0].astype(np.int8), best[1].astype(np.float32)


def dequantize_matrix(graph: onnx.GraphProto, weight: onnx.TensorProto, axis: int) -> onnx.NodeProto:
    """Stores `weight` as int8 with a scale for each output, which lie along `axis`; the node that gives it back as `…_float`."""
    integers, scale = to_int8(numpy_helper.to_array(weight), axis)
    name = weight.name
    graph.initializer.extend([
        numpy_helper.from_array(integers, name + "_int8"),
        numpy_helper.from_array(scale.reshape(-1), name + "_scale"),
        numpy_helper.from_array(np.zeros(scale.size, np.int8), name + "_zero"),
    ])
    inputs = [name + "_int8", name + "_scale", name + "_zero"]
    return helper.make_node("DequantizeLinear", inputs, [name + "_float"], name + "_dequantize", axis=axis)


def quantize_gather(graph: onnx.GraphProto, table: onnx.TensorProto, gather: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Looks up int8 rows and their scales, and multiplies: only the rows of the message are ever made float."""
    integers, scale = to_int8(numpy_helper.to_array(table), axis=0)
    name, ids, out = table.name, gather.input[1], gather.output[0]
    graph.initializer.extend([numpy_helper.from_array(integers, name + "_int8"),
                              numpy_helper.from_array(scale, name + "_scale")])
    return [
        helper.make_node("Gather", [name + "_int8", ids], [name + "_rows_int8"], axis=0),
        helper.make_node("Gather", [name + "_scale", ids], [name + "_rows_scale"], axis=0),
        helper.make_node("Cast", [name + "_rows_int8"], [name + "_rows"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [name + "_rows", name + "_rows_scale"], [out]),
    ]


if __name__ == "__main__":
    main()
