"""Near-duplicates by MinHash: which texts share most of their word triples, without comparing all with all."""

import re

from datasketch import MinHash, MinHashLSH


def words(text: str) -> list:
    return re.findall(r"[\w']+", text.lower().replace("’", "'"))


def plain(text: str) -> str:
    """What two texts must share to be the same."""
    return " ".join(words(text))


def sketch(text: str, size: int = 3) -> MinHash:
    tokens = words(text)
    made = MinHash(num_perm=128, seed=1)
    made.update_batch([" ".join(tokens[i : i + size]).encode() for i in range(max(1, len(tokens) - size + 1))])
    return made


class Near:
    """Texts to look for near-duplicates of."""

    def __init__(self, threshold: float):
        self.threshold, self.index, self.sketches = threshold, MinHashLSH(threshold=threshold, num_perm=128), {}

    def add(self, name: str, text: str) -> None:
        self.sketches[name] = sketch(text)
        self.index.insert(name, self.sketches[name])

    def of(self, text: str) -> list:
        """Names of what is near, with the estimated share of word triples in common."""
        made = sketch(text)
        found = [(name, self.sketches[name].jaccard(made)) for name in self.index.query(made)]
        return [(name, share) for name, share in found if share >= self.threshold]


def pairs(texts: dict, threshold: float) -> list:
    """(name, name, share) of near-duplicates among named texts."""
    near, found = Near(threshold), []
    for name, text in texts.items():
        found += [(name, other, share) for other, share in near.of(text)]
        near.add(name, text)
    return found
