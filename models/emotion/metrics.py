"""What is measured: labels, modes, calibration. Pure functions of probabilities [n, 7] and gold labels [n]."""

import tomllib

import numpy as np

from data import HERE, LABELS, MODES, NEGATIVE, POSITIVE, mode_of_label

NEGATIVE_ABOVE, POSITIVE_ABOVE = 0.3, 0.5
"""The reference's thresholds on the summed probabilities, which figures are told for; the negative one is asked first."""

RULES = tomllib.loads((HERE.parents[1] / "personas/arthur.toml").read_text(encoding="utf-8"))["rules"]
"""The shipped persona's own, for figures of how often he notices a feeling."""

_NEGATIVE = [LABELS.index(label) for label in NEGATIVE]
_POSITIVE = [LABELS.index(label) for label in POSITIVE]
_MODE_OF_LABEL = np.array([MODES.index(mode_of_label(label)) for label in LABELS])


def modes(probabilities: np.ndarray, above: tuple[float, float] = (NEGATIVE_ABOVE, POSITIVE_ABOVE), unless: float = 1.0) -> np.ndarray:
    """Index into `MODES` for each row, by thresholds on the negative and the positive sum; no joy where the negative one is above `unless`."""
    sorrow = probabilities[:, _NEGATIVE].sum(1)
    negative, positive = sorrow > above[0], (probabilities[:, _POSITIVE].sum(1) > above[1]) & (sorrow <= unless)
    return np.select([negative, positive], [MODES.index("FIX"), MODES.index("FLIRT")], MODES.index("GENERAL"))


def f1(gold: np.ndarray, predicted: np.ndarray, label: int) -> float:
    """F1 of one label, 0 when it was neither there nor predicted."""
    hits = np.sum((gold == label) & (predicted == label))
    return float(2 * hits / max(1, np.sum(gold == label) + np.sum(predicted == label)))


def calibration_error(probabilities: np.ndarray, gold: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the most probable label, in equally wide bins (Guo et al. 2017)."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == gold
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[which == b].sum() - correct[which == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(gold))


def summarize(probabilities: np.ndarray, gold: np.ndarray) -> dict:
    """Accuracy, macro-F1, mode accuracy, calibration error, F1 of each label, and how often each mode is chosen."""
    predicted, chosen = probabilities.argmax(1), modes(probabilities)
    per_label = {label: f1(gold, predicted, i) for i, label in enumerate(LABELS)}
    return {
        "accuracy": float((predicted == gold).mean()),
        "macro_f1": float(np.mean(list(per_label.values()))),
        "mode_accuracy": float((chosen == _MODE_OF_LABEL[gold]).mean()),
        "ece": calibration_error(probabilities, gold),
        "f1": per_label,
        "mode_share": {mode: float((chosen == i).mean()) for i, mode in enumerate(MODES)},
        "gold_mode_share": {mode: float((_MODE_OF_LABEL[gold] == i).mean()) for i, mode in enumerate(MODES)},
    }


def as_arthur(probabilities: np.ndarray, gold: np.ndarray) -> dict:
    """For each gold mode, how often the shipped persona's thresholds choose which: {"FIX": {"FIX": 0.7, "FLIRT": …}, …}. FLIRT, the
    reference's name, stands for the positive mode, which is the persona's WARM."""
    chosen = modes(probabilities, (RULES["negative_above"], RULES["positive_above"]), RULES["positive_unless_negative_above"])
    wanted = _MODE_OF_LABEL[gold]
    return {mode: {other: float((chosen[wanted == i] == j).mean()) for j, other in enumerate(MODES)}
            for i, mode in enumerate(MODES) if (wanted == i).any()}
