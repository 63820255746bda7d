"""Writes fixtures/sampler.json: what Hugging Face's own processors make of fixed logits.

Needs torch and transformers (made with 2.8.0 and 4.56.2, CPU). Logits come from a formula that tests/sampling.rs repeats, so
that the fixture holds results only.
"""

import json
import pathlib

import torch
from transformers import (
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

VOCABULARY = 1531


def logits(seed):
    values = [((i * 7919 + seed * 104729 + i * i % 4099) % 10007) / 10007 * 24 - 12 for i in range(VOCABULARY)]
    return torch.tensor(values, dtype=torch.float64).to(torch.float32)


def case(seed, penalty, temperature, top_k, top_p, history, masked):
    ids = torch.tensor([history], dtype=torch.long)
    scores = logits(seed)[None]
    if penalty != 1.0:
        scores = RepetitionPenaltyLogitsProcessor(penalty)(ids, scores)
    if masked:
        scores = MinNewTokensLengthLogitsProcessor(len(history), 1, masked, device="cpu")(ids, scores)
    if temperature != 1.0:
        scores = TemperatureLogitsWarper(temperature)(ids, scores)
    if top_k:
        scores = TopKLogitsWarper(top_k)(ids, scores)
    if top_p < 1.0:
        scores = TopPLogitsWarper(top_p)(ids, scores)
    probabilities = torch.softmax(scores[0].double(), dim=-1)
    kept = [(token, p) for token, p in enumerate(probabilities.tolist()) if p > 0.0]
    kept.sort(key=lambda pair: (-pair[1], pair[0]))
    return {
        "seed": seed,
        "repetition_penalty": penalty,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "history": history,
        "masked": masked,
        "kept": len(kept),
        "first": [[token, round(p, 9)] for token, p in kept[:40]],
    }


def best(seed, count):
    return torch.topk(logits(seed), count).indices.tolist()


CASES = [
    case(1, 1.0, 1.0, 0, 1.0, [0], []),
    case(2, 1.1, 0.7, 100, 0.9, best(2, 5) + [3, 3, 700, 1530], []),
    case(3, 1.1, 0.7, 100, 0.9, best(3, 60), best(3, 2)),
    case(14, 1.3, 1.5, 20, 0.95, best(14, 30) + list(range(200)), best(14, 9)[4:]),
    case(5, 0.8, 0.9, 50, 1.0, [5, 6, 7] + best(5, 200)[150:], []),
    case(6, 1.1, 0.7, 0, 0.5, best(6, 3), best(6, 1)),
    case(7, 2.0, 0.2, 1, 0.9, best(7, 1), []),
    case(8, 1.1, 4.0, 1531, 0.99, list(range(0, 1531, 3)), [1, 2]),
]

target = pathlib.Path(__file__).parent / "fixtures" / "sampler.json"
target.write_text(json.dumps({"vocabulary": VOCABULARY, "cases": CASES}, separators=(",", ":")) + "\n")
