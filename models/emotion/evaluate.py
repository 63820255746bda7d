"""Measures the artefact beside this file: `EMOTION_DATA=… python evaluate.py [--binary target/release/ai-friend] [--write]`.

For every held-out set that is there: accuracy, macro-F1, F1 of each label, three-way mode accuracy at 0.3 and 0.5, and the
expected calibration error, and which mode the shipped persona's own thresholds choose, all from the shipped int8 file through
onnxruntime; then the pass rate of `behaviour.jsonl`. The repository's own sets need no `EMOTION_DATA`. With
`--binary` the same texts go through `ai-friend score --json -`, whose probabilities must agree to 1e-4. `--write` keeps the
figures in metrics.json.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

import danger
import data
from data import LABELS, MODES
from dataset.problem import exit_code
from metrics import NEGATIVE_ABOVE, POSITIVE_ABOVE, RULES, as_arthur, modes, summarize

HERE = Path(__file__).parent
TOLERANCE = 1e-4
TARGETS = {
    "GoEmotions test, refined": {"mode_accuracy": 0.76, "macro_f1": 0.62},
    "MELD test": {"mode_accuracy": 0.56},
    "DailyDialog test": {"mode_accuracy": 0.70},
}
NAMES = {"FIX": "negative", "FLIRT": "positive", "GENERAL": "neither"}
BEHAVIOUR_TARGET = 0.90
SIZE_TARGET = 25_000_000


class Scorer:
    """The artefact in a folder, on one thread."""

    def __init__(self, folder: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        # As the bot: float weights where the processor cannot multiply bytes (`multiplies_bytes` in the bot's adapter).
        options.add_session_config_entry("session.disable_quant_qdq", "0" if multiplies_bytes() else "1")
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.max_length = json.loads((folder / "config.json").read_text())["max_length"]

    def probabilities(self, texts: list[str], batch: int = 32) -> np.ndarray:
        """[texts, 7] of feelings."""
        return softmax(self.run(texts, "logits", batch))

    def run(self, texts: list[str], output: str, batch: int = 32) -> np.ndarray:
        """An output of the graph, a row a text; like lengths share a batch, which changes the time and not the result."""
        ids = [shortened(encoding.ids, self.max_length) for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        rows = [None] * len(texts)
        for at in range(0, len(order), batch):
            part = order[at:at + batch]
            longest = max(len(ids[i]) for i in part)
            input_ids = np.zeros((len(part), longest), np.int64)
            mask = np.zeros_like(input_ids)
            for row, i in enumerate(part):
                input_ids[row, :len(ids[i])] = ids[i]
                mask[row, :len(ids[i])] = 1
            for i, row in zip(part, self.session.run([output], {"input_ids": input_ids, "attention_mask": mask})[0]):
                rows[i] = row.astype(np.float64)
        return np.array(rows)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row by row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def multiplies_bytes() -> bool:
    """Has this processor VNNI? Taken for granted where it is no x86."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    return "sse2" not in flags or not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)


def shortened(ids: list[int], limit: int) -> list[int]:
    """Beginning and end of what is too long, as the bot does it."""
    half = limit // 2
    return ids if len(ids) <= limit else ids[:half] + ids[half - limit:]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model-dir", type=Path, default=HERE)
    options.add_argument("--binary", type=Path, help="the bot's binary, to compare with")
    options.add_argument("--write", action="store_true", help="keep the figures in metrics.json")
    given = options.parse_args()
    scorer = Scorer(given.model_dir)
    model = given.model_dir / "model.onnx"
    size = model.stat().st_size
    report = {"model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "bytes": size,
              "onnxruntime": onnxruntime.__version__, "thresholds": {"negative": NEGATIVE_ABOVE, "positive": POSITIVE_ABOVE},
              "arthur": {"negative": RULES["negative_above"], "positive": RULES["positive_above"],
                         "positive_unless_negative_above": RULES["positive_unless_negative_above"]}, "sets": {}}
    print(f"model.onnx: {size:,} bytes ({verdict(size <= SIZE_TARGET)} the limit of {SIZE_TARGET:,})\n")
    sets, absent = data.test_sets() if os.environ.get("EMOTION_DATA") else ([], ["every published set"])
    for test in sets + data.own_test_sets():
        probabilities, gold = scorer.probabilities(test.texts), np.array(test.gold)
        report["sets"][test.name] = summary = {"rows": len(test.texts), **summarize(probabilities, gold)}
        summary["as_arthur"] = as_arthur(probabilities, gold)
        show(test.name, summary)
        if given.binary:
            compare(given.binary, test.texts, probabilities)
    for name in absent:
        print(f"{name}: skipped, its files are not under EMOTION_DATA\n")
    report["danger"] = of_danger(scorer, sets + data.own_test_sets(), given.binary)
    report["behaviour"] = behaviour(scorer)
    if given.binary:
        texts = [case["text"] for case in read_cases()]
        compare(given.binary, texts, scorer.probabilities(texts))
    if given.write:
        (given.model_dir / "metrics.json").write_text(json.dumps(rounded(report), indent=1) + "\n")


def show(name: str, summary: dict) -> None:
    """One set's figures, with its targets where it has any."""
    print(f"{name} ({summary['rows']} rows)")
    for key in ("accuracy", "macro_f1", "mode_accuracy", "ece"):
        target = TARGETS.get(name, {}).get(key)
        note = f"  ({verdict(summary[key] >= target)} {target})" if target else ""
        print(f"  {key:14} {summary[key]:.4f}{note}")
    print("  F1             " + "  ".join(f"{label} {value:.3f}" for label, value in summary["f1"].items()))
    shares = (f"{mode} {summary['mode_share'][mode]:.3f} ({summary['gold_mode_share'][mode]:.3f})" for mode in MODES)
    print("  modes (gold)   " + "  ".join(shares))
    for mode, chosen in summary["as_arthur"].items():
        shares = "  ".join(f"{NAMES[other]} {share:.3f}" for other, share in chosen.items())
        print(f"  {NAMES[mode]:14} taken by Arthur for  {shares}")
    print()


def verdict(reached: bool) -> str:
    return "reaches" if reached else "MISSES"


def of_danger(scorer: Scorer, sets: list[data.TestSet], binary: Path | None) -> dict:
    """What is heard of the messages written for it, and how many of everyday messages, which hardly ever speak of danger, raise an
    alarm: by the model alone and, where there is a binary, by its rules for words alone and by both."""
    test = danger.rows("test")
    texts, gold = [row.text for row in test], np.array([row.danger for row in test])
    hear = {"model": lambda texts: danger.heard(scorer.run(texts, "danger"))}
    if binary:
        hear |= {"words": lambda texts: concerns(binary, texts, 1.0), "both": lambda texts: concerns(binary, texts, 0.5)}
    report = {}
    for by, found in hear.items():
        report[by] = {"test": danger.summarize(found(texts), gold),
                      "alarms": {other.name: int((found(other.texts) > 0).sum()) for other in sets}}
        print(f"danger by {by}")
        for name, figures in report[by]["test"].items():
            print(f"  {name:13} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
        print("  alarms in     " + "  ".join(f"{other.name} {report[by]['alarms'][other.name]} of {len(other.texts)}" for other in sets) + "\n")
    return report


def concerns(binary: Path, texts: list[str], above: float) -> np.ndarray:
    """Index into `danger.CLASSES` for each text, as the binary acts on it where danger has to be likelier than `above`."""
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    run = subprocess.run([str(binary), "score", "--json", "-"], input=lines, text=True, capture_output=True, encoding="utf-8",
                         env=os.environ | {"AI_FRIEND_SAFETY_DANGER_ABOVE": str(above)})
    if run.returncode != 0:
        sys.exit(f"{binary} score --json -: exit {run.returncode}\n{run.stderr}")
    found = [danger.CLASSES.index(json.loads(line)["concern"] or "nobody") for line in run.stdout.splitlines()]
    if len(found) != len(texts):
        sys.exit(f"{binary} score --json -: {len(found)} answers to {len(texts)} lines")
    return np.array(found)


def read_cases() -> list[dict]:
    return [json.loads(line) for line in (HERE / "behaviour.jsonl").read_text(encoding="utf-8").splitlines()]


def behaviour(scorer: Scorer) -> dict:
    """Pass rate of the behavioural set: overall, by round of writing, by capability, with every failure named."""
    cases = read_cases()
    rows = dict(zip((c["text"] for c in cases), scorer.probabilities([c["text"] for c in cases])))
    others = [c["than"] for c in cases if "than" in c]
    rows |= dict(zip(others, scorer.probabilities(others))) if others else {}
    passed = defaultdict(list)
    for case in cases:
        ok = passes(case, rows)
        passed[case["capability"]].append(ok)
        if not ok:
            row = rows[case["text"]]
            best = LABELS[row.argmax()]
            print(f"  failed: {case['capability']}: {case['text']!r} wants {wanted(case)}; got {MODES[modes(row[None])[0]]}, "
                  f"{best} {row.max():.2f}")
    every = [ok for oks in passed.values() for ok in oks]
    rate = float(np.mean(every))
    print(f"behaviour: {sum(every)} of {len(every)} = {rate:.3f} ({verdict(rate >= BEHAVIOUR_TARGET)} {BEHAVIOUR_TARGET})")
    by_round = {n: [passes(case, rows) for case in cases if case["round"] == n] for n in sorted({c["round"] for c in cases})}
    for n, oks in by_round.items():
        print(f"  round {n:16} {sum(oks)}/{len(oks)}")
    for capability, oks in passed.items():
        print(f"  {capability:22} {sum(oks)}/{len(oks)}")
    print()
    return {"cases": len(every), "pass_rate": rate,
            "by_round": {str(n): {"cases": len(oks), "pass_rate": float(np.mean(oks))} for n, oks in by_round.items()},
            "by_capability": {c: {"cases": len(oks), "pass_rate": float(np.mean(oks))} for c, oks in passed.items()}}


def wanted(case: dict) -> str:
    return "; ".join(f"{key} {case[key]}" for key in ("mode", "label", "more", "less", "than") if key in case)


def passes(case: dict, rows: dict[str, np.ndarray]) -> bool:
    """A case names an accepted `mode` or `label` (lists), or a direction: the score `more` (or `less`) is higher (lower)
    than for the text `than`, by at least 0.05 or already beyond 0.9 (below 0.1)."""
    row = rows[case["text"]]
    if "mode" in case and MODES[modes(row[None])[0]] not in case["mode"]:
        return False
    if "label" in case and LABELS[row.argmax()] not in case["label"]:
        return False
    for key, sign in (("more", 1), ("less", -1)):
        if key in case:
            here, there = score(row, case[key]), score(rows[case["than"]], case[key])
            if (here - there) * sign < 0.05 and (here - 0.5) * sign < 0.4:
                return False
    return True


def score(row: np.ndarray, name: str) -> float:
    """A label's probability, or the sum that a mode looks at ("negative", "positive")."""
    names = {"negative": data.NEGATIVE, "positive": data.POSITIVE}.get(name, (name,))
    return float(sum(row[LABELS.index(label)] for label in names))


def compare(binary: Path, texts: list[str], expected: np.ndarray) -> None:
    """Ends the program when the binary's probabilities differ from onnxruntime's in Python by more than `TOLERANCE`."""
    lines = [" ".join(text.splitlines()) for text in texts]
    same = [i for i, (line, text) in enumerate(zip(lines, texts)) if line == text]
    run = subprocess.run([str(binary), "score", "--json", "-"], input="\n".join(lines) + "\n", text=True,
                         capture_output=True, encoding="utf-8")
    answers = [json.loads(line)["scores"] for line in run.stdout.splitlines()]
    if run.returncode != 0 or len(answers) != len(lines):
        sys.exit(f"{binary} score --json -: exit {run.returncode}, {len(answers)} answers to {len(lines)} lines\n{run.stderr}")
    got = np.array([[answer[label] for label in LABELS] for answer in answers])
    worst = float(np.abs(got - expected)[same].max())
    print(f"  the binary's probabilities for {len(same)} texts: largest difference {worst:.2e}\n")
    if worst > TOLERANCE:
        sys.exit(f"The binary and Python's onnxruntime differ by {worst:.2e}, more than {TOLERANCE}: do they read the same "
                 f"model.onnx, tokenizer.json and ONNX Runtime version?")


def rounded(value):
    """Floats to four places, all the way down."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(exit_code(main))
