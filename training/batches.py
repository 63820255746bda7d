"""Which examples go together in a step: decided by seed and epoch alone, so that a resumed run sees the same."""

import random

from encode import IGNORED


def plan(examples: list, seed: int, epoch: int, settings: dict) -> list:
    """Lists of indices. By `batch_tokens`, talks of similar length go together and no batch with its padding is larger; by
    `batch`, so many of any length."""
    rng = random.Random(f"batches/{seed}/{epoch}")
    order = list(range(len(examples)))
    rng.shuffle(order)
    if "batch" in settings:
        size = settings["batch"]
        return [order[i : i + size] for i in range(0, len(order), size)]
    order.sort(key=lambda index: len(examples[index].ids) + rng.random() * 16)
    made, current = [], []
    for index in order:
        longest = max(len(examples[i].ids) for i in [*current, index])
        if current and longest * (len(current) + 1) > settings["batch_tokens"]:
            made.append(current)
            current = []
        current.append(index)
    made.append(current)
    rng.shuffle(made)
    return made


def tensors(examples: list):
    """(ids, labels), padded on the right: with causal attention no real token sees the padding, so no mask is needed."""
    import torch

    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        labels[row, : len(example.ids)] = torch.tensor(example.labels)
    return ids, labels
