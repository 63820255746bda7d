"""Can a simple classifier (naive Bayes over words, five folds) tell groups of dialogues apart? The modes it must: else they
teach one tone. Random halves of the set it must not: else the set is of several pieces, and held-out figures mislead."""

import hashlib
import math
from collections import Counter, defaultdict

from .near import words


def bag(dialogue) -> set:
    return {word for _, text, _ in dialogue.turns for word in words(text)}


def order(dialogue, salt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}{dialogue.id}".encode()).digest()[:4], "big")


def accuracy(dialogues: list, labels: list, folds: int = 5) -> float:
    """Share of dialogues whose label is guessed right by a classifier that saw the other folds; labels count alike."""
    bags = [bag(d) for d in dialogues]
    right, total = Counter(), Counter(labels)
    for fold in range(folds):
        counts, sizes = defaultdict(Counter), Counter()
        for index, (words_of, label) in enumerate(zip(bags, labels)):
            if order(dialogues[index], "fold") % folds != fold:
                counts[label].update(words_of)
                sizes[label] += 1
        if not sizes:
            continue
        known = {word for count in counts.values() for word, times in count.items() if times > 1}
        base = {label: sum(math.log(1 - (counts[label][word] + 0.5) / (sizes[label] + 1)) for word in known) for label in counts}
        for index, (words_of, label) in enumerate(zip(bags, labels)):
            if order(dialogues[index], "fold") % folds == fold:
                def score(guess):
                    shares = ((counts[guess][word] + 0.5) / (sizes[guess] + 1) for word in words_of & known)
                    return base[guess] + sum(math.log(share / (1 - share)) for share in shares)

                right[label] += max(sorted(counts), key=score) == label
    return sum(right[label] / total[label] for label in total) / len(total)


def modes(dialogues: list) -> float:
    return accuracy(dialogues, [d.mode for d in dialogues])


def halves(dialogues: list) -> float:
    """Mean over five random halvings."""
    tries = [accuracy(dialogues, [order(d, f"half{n}") % 2 for d in dialogues]) for n in range(5)]
    return sum(tries) / len(tries)
