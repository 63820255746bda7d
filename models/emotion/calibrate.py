"""Fits the temperature and one bias a label, on GoEmotions' dev split only, and how readily danger is heard:
`EMOTION_DATA=… python calibrate.py runs/1 …`

Several runs are averaged weight by weight first (Wortsman et al. 2022, "Model soups"): they start from the same MiniLM.
The eight numbers of the calibration go into the graph's last step. They minimise the negative log-likelihood of the label,
rare labels weighing a little more, plus that of the *mode*: the chance, under a little noise at the two thresholds, that the
reference's rule picks the right one. Both weights were chosen for the best sum of macro-F1 and mode accuracy on the same dev
split, cross-fitted in five folds.

Danger is heard as readily as the look-alikes of `danger/dev.tsv` allow: `LOOK_ALIKES` is the share of them that may be taken for it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import danger
import data
from data import LABELS, MODES
from dataset.problem import exit_code
from metrics import NEGATIVE_ABOVE, POSITIVE_ABOVE, as_arthur, summarize
from model import EmotionModel
from tokenizer import build_tokenizer
from train import base_folder, predict

LOOK_ALIKES = 0.03

THRESHOLD_NOISE = 0.05
"""Width of the logistic noise, in probability, that makes the rule differentiable."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", type=Path, nargs="+", help="folders that hold model.pt; the result goes to the first")
    options.add_argument("--base", type=Path)
    options.add_argument("--mode-weight", type=float, default=0.2, help="0 fits the label's likelihood alone")
    options.add_argument("--balance", type=float, default=0.3, help="labels weigh their frequency to the power -BALANCE")
    given = options.parse_args()
    torch.set_num_threads(1)
    model = soup([torch.load(run / "model.pt") for run in given.runs])
    dev = data.single_label("GoEmotions dev, refined", data.goemotions("dev"))
    gold = torch.tensor(dev.gold)
    tokenizer = build_tokenizer(given.base or base_folder())
    logits, _ = predict(model, tokenizer, dev.texts)
    scale, bias = fit(logits, gold, given.mode_weight, given.balance)
    for name, values in (("before", logits), ("after", logits * scale + bias)):
        figures = summarize(torch.softmax(values, 1).numpy(), np.array(dev.gold))
        print(f"dev {name:6} " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items() if isinstance(value, float)))
    chat = data.single_label("Dialogues dev", data.dialogues("dev"))
    probabilities = torch.softmax(predict(model, tokenizer, chat.texts)[0] * scale + bias, 1).numpy()
    for mode, shares in as_arthur(probabilities, np.array(chat.gold)).items():
        print(f"dialogues dev {mode:8} by Arthur's rule " + "  ".join(f"{other} {share:.3f}" for other, share in shares.items()))
    print(f"scale {scale.item():.3f}  " + "  ".join(f"{label} {value:+.2f}" for label, value in zip(LABELS, bias.tolist())))
    model.scale.copy_(scale)
    model.bias.copy_(bias)
    model.danger_bias.copy_(danger_bias(lambda texts: predict(model, tokenizer, texts)[1].numpy()))
    torch.save(model.state_dict(), given.runs[0] / "calibrated.pt")


def soup(states: list[dict[str, Tensor]]) -> EmotionModel:
    """The mean of several runs' weights."""
    model = EmotionModel()
    model.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return model


def fit(logits: Tensor, gold: Tensor, mode_weight: float, balance: float) -> tuple[Tensor, Tensor]:
    """Scale [1] and bias [7] for `logits` [n, 7]."""
    counts = torch.bincount(gold, minlength=len(LABELS)).clamp_min(1).float()
    weights = (counts / counts.mean()) ** -balance
    weights = weights / (weights * counts / counts.sum()).sum()
    log_scale = torch.zeros(1, requires_grad=True)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        log_p = torch.log_softmax(logits * log_scale.exp() + bias, 1)
        loss = torch.nn.functional.nll_loss(log_p, gold, weights) + mode_weight * mode_loss(log_p.exp(), gold)
        loss = loss + 1e-3 * bias.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    bias = bias.detach()
    return log_scale.detach().exp(), bias - bias.mean()


def danger_bias(logits_of) -> Tensor:
    """[3], for logits of texts [n, 3]: what makes none as likely as danger at the chosen threshold. Prints what that hears, of the first
    messages of the dialogues' dev subjects too, a few of which do speak of it."""
    dev = danger.rows("dev")
    gold = np.array([row.danger for row in dev])
    logits = logits_of([row.text for row in dev])
    above = threshold(danger.alarms(logits)[gold == 0], LOOK_ALIKES)
    logits[:, 0] += above
    for name, figures in danger.summarize(danger.heard(logits), gold).items():
        print(f"danger dev {name:12} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    chat = danger.alarms(logits_of([row.text for row in data.dialogues("dev")]))
    print(f"danger dialogues dev: {int((chat > above).sum())} of {len(chat)}; log-odds above {above:+.2f}")
    return torch.tensor([above, 0.0, 0.0])


def threshold(alarms: np.ndarray, share: float) -> float:
    """The lowest value that no more than this share of `alarms` lies above."""
    return float(np.sort(alarms)[::-1][int(share * len(alarms))])


def mode_loss(p: Tensor, gold: Tensor) -> Tensor:
    """Mean negative log-probability that the rule, with noise at its thresholds, gives the mode of the gold label."""
    negative = p[:, [LABELS.index(label) for label in data.NEGATIVE]].sum(1)
    positive = p[:, [LABELS.index(label) for label in data.POSITIVE]].sum(1)
    fix = torch.sigmoid((negative - NEGATIVE_ABOVE) / THRESHOLD_NOISE)
    flirt = (1 - fix) * torch.sigmoid((positive - POSITIVE_ABOVE) / THRESHOLD_NOISE)
    chances = torch.stack([{"FIX": fix, "FLIRT": flirt, "GENERAL": 1 - fix - flirt}[mode] for mode in MODES], 1)
    wanted = torch.tensor([MODES.index(data.mode_of_label(label)) for label in LABELS])[gold]
    return -chances.clamp_min(0.02).log().gather(1, wanted[:, None]).mean()


if __name__ == "__main__":
    sys.exit(exit_code(main))
