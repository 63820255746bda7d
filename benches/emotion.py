"""The peer of emotion.rs: Python's onnxruntime on one thread, taking turns when told.

Standard input: one line with the messages as a JSON list, then a turn a line: first message, end,
batch size. Standard output: "ready", then the seconds of each turn. Padding to the longest of a batch, in order of arrival, as a script would do it.
"""

import json
import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = sys.argv[1]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.enable_padding()
messages = json.loads(sys.stdin.readline())


def score(texts: list[str]) -> np.ndarray:
    """Probabilities [texts, 7]."""
    rows = tokenizer.encode_batch(texts)
    ids = np.array([row.ids for row in rows], np.int64)
    mask = np.array([row.attention_mask for row in rows], np.int64)
    logits = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


score(messages[:4])
print("ready", flush=True)
for line in sys.stdin:
    first, end, batch = map(int, line.split())
    start = time.perf_counter()
    for at in range(first, end, batch):
        score(messages[at:min(at + batch, end)])
    print(time.perf_counter() - start, flush=True)
