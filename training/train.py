"""Trains a LoRA adapter by a recipe: python train.py --recipe smollm2 --base MODEL.gguf --out target/training-run/seed1

Stopped in whatever way, the same command goes on from the last checkpoint, to the same curve."""

import argparse
import hashlib
import itertools
import json
import math
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from safetensors import SafetensorError

import adapter
import base
import batches
import checkpoint
import curve
import encode
import precision
import recipe as recipes
from dataset import saving
from dataset.mixture import Mixture
from dataset.problem import Problem
from dataset.prompts import ROOT

MORE_MEMORY = ("Lower `batch_tokens`, or `batch`, in a copy of the recipe and begin anew with another --out; or take a smaller base.",
               "With --cpu the computer's own memory counts and not the GPU's: slower, and the same run goes on.")


class Data:
    """What a recipe trains on, encoded: the same list for the same seed and epoch."""

    def __init__(self, recipe: dict, tokenizer, written: Path | None, chats: Path | None):
        self.most, settings = recipe["max_tokens"], recipe["data"]
        self.epochs = recipe["epochs"]
        self.mixture, self.fixed = None, None
        if recipe["template"] == "text":
            paths = [ROOT / settings[side] for side in ("train", "test") if side in settings]
            self.fixed, self.held = ([*(encode.texts(path, tokenizer, self.most) for path in paths), []])[:2]
            settings = recipes.of_files(settings, paths[:1])
            self.sources, self.commercial = [settings["licence"]], settings.get("commercial", False)
            self.notes = self.unstated(recipe)
            if written:
                raise Problem(f"recipe `{recipe['name']}` trains on texts of its own, not on dialogues", "Name them in a copy of the recipe, or leave --dialogues out.")
            return
        self.chat = encode.Chat(tokenizer)
        finish = recipe["finish"]
        if written:
            settings = recipes.of_dialogues(settings, written)
            # Else the friend's own voice would have the last word over somebody else's.
            finish = [{name: value for name, value in stage.items() if name != "dialogues"} for stage in finish]
        shown = written or ROOT / settings.get("train", recipes.WRITTEN)
        if not written:
            settings = recipes.of_files(settings, [shown, *(ROOT / stage["dialogues"] for stage in finish if "dialogues" in stage)])
        self.mixture = Mixture(shown, settings, chats, finish)
        recipes.check_origin(recipe, [*self.mixture.train, *itertools.chain.from_iterable(self.mixture.own)])
        self.sources, self.commercial = self.mixture.sources(), settings.get("commercial", False)
        self.notes = self.mixture.notes + self.unstated(recipe)
        self.held = [self.encoded(example) for example in self.mixture.held_out()]

    def unstated(self, recipe: dict) -> list:
        """The note that what is trained on is not what the recipe's licence is about."""
        if self.commercial or not recipe["data"].get("commercial"):
            return []
        return [f"nothing says under which licence all of the data are ({'; '.join(self.sources)}), so the adapter will say that it may not be "
                "used commercially; `licence` and `commercial` in a copy of the recipe (--recipe mine.toml) do"]

    def encoded(self, example) -> encode.Encoded:
        return self.chat.encode(example.id, example.mode, example.system, example.turns, self.most)

    def epoch(self, seed: int, number: int) -> list:
        if self.fixed is not None:
            return self.fixed
        examples = self.mixture.epoch(seed, number) if number < self.epochs else self.mixture.last_stage(seed, number - self.epochs)
        made = [self.encoded(example) for example in examples]
        if not made and number >= self.epochs:
            raise Problem(f"stage {number - self.epochs + 1} of [[finish]] holds no dialogue", "Give it `written`, `again`, `dialogues` or `augment`, or leave it out.")
        if not any(example.counted() for example in made):
            raise Problem(f"within {self.most} tokens no reply is left to learn from", "Raise max_tokens in the recipe, or look at the dialogues.")
        return made


def rate(settings: dict, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0."""
    warm = settings["warm_up"]
    if step < warm:
        return settings["lr"] * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    left = 0.5 * (1 + math.cos(math.pi * done)) if settings["schedule"] == "cosine" else 1 - done
    end = settings.get("lr_end", 0.0)
    return end + (settings["lr"] - end) * left


def time_of(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


class Run:
    """One training run in its folder."""

    def __init__(self, recipe: dict, options):
        import torch

        self.recipe, self.settings, self.out = recipe, recipe["optimizer"], options.out
        self.seed = recipe["seed"] if options.seed is None else options.seed
        torch.manual_seed(self.seed)
        device = "cuda" if torch.cuda.is_available() and not options.cpu else "cpu"
        self.bf16 = precision.chosen(options.bf16, checkpoint.begun(options.out).get("precision"), device)
        model, tokenizer = base.load(options.base, bf16=self.bf16)
        if device == "cpu" and self.bf16:
            # PyTorch's fused attention for processors takes 2.8 seconds a step in half precision where plain products take 2.4.
            model.set_attn_implementation("eager")
        self.model = adapter.wrap(model, recipe["lora"]).to(device)
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.data = Data(recipe, tokenizer, options.dialogues, options.persona_chat)
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=0.0,
                                           weight_decay=self.settings["weight_decay"])
        self.epochs = {}
        # (step, loss, loss by mode) of what is held out, as last measured.
        self.measured = (None, None, {})
        # Each [finish] of a recipe is a stage more.
        self.stages = recipe["epochs"] + len(recipe["finish"])
        self.ends = list(itertools.accumulate(len(self.plan(number)) for number in range(self.stages)))
        self.steps, self.before_finish = self.ends[-1], ([0] + self.ends)[recipe["epochs"]]
        self.last = min(self.steps, options.max_steps or self.steps)
        self.until = time.monotonic() + options.max_minutes * 60 if options.max_minutes else math.inf
        self.base = base.identity(options.base)
        self.run = {"recipe": recipe["name"], "settings": recipes.identity(recipe), "seed": self.seed, "base": self.base,
                    "data": self.fingerprint(), "steps": self.steps, "precision": precision.name(self.bf16)}

    def plan(self, number: int) -> list:
        """The optimizer steps of an epoch, each a list of batches."""
        examples = self.examples(number)
        made = batches.plan(examples, self.seed, number, self.settings)
        group = self.settings["accumulate"]
        return [made[i : i + group] for i in range(0, len(made), group)]

    def examples(self, number: int) -> list:
        if number not in self.epochs:
            self.epochs[number] = self.data.epoch(self.seed, number)
        return self.epochs[number]

    def fingerprint(self) -> str:
        """A hash of every token that is shown, in its order, and of what is learnt of it."""
        digest = hashlib.sha256()
        for number in range(self.stages):
            for group in self.plan(number):
                for indices in group:
                    shown = [self.examples(number)[i] for i in indices]
                    digest.update(json.dumps([[example.ids, example.labels] for example in shown]).encode())
        return digest.hexdigest()

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0; in each of the last stages it falls from the stage's own to 0."""
        if step < self.before_finish:
            return rate(self.settings, step, self.before_finish)
        stage = next(number for number, end in enumerate(self.ends) if step < end)
        begin = ([0] + self.ends)[stage]
        table = self.recipe["finish"][stage - self.recipe["epochs"]]
        return rate(self.settings | {"lr_end": 0.0} | table, step - begin, self.ends[stage] - begin)

    def step(self, number: int, group: list, lr: float) -> tuple:
        """One optimizer step: (mean loss, tokens). The mean is over the counted tokens of the whole step."""
        import torch

        made = [batches.tensors([self.examples(number)[i] for i in indices]) for indices in group]
        counted = max(1, sum(int((labels[:, 1:] != encode.IGNORED).sum()) for _, labels in made))
        loss = 0.0
        for ids, labels in made:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
                total, _ = adapter.loss_sum(self.model, ids.to(self.model.device), labels.to(self.model.device))
            (total / counted).backward()
            loss += float(total.detach()) / counted
        norm = torch.nn.utils.clip_grad_norm_((p for p in self.model.parameters() if p.requires_grad), self.settings["clip"])
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise Problem(f"the loss is {loss} and its gradient {float(norm)} at rate {lr:.1e}: training has diverged",
                          f"Try half the rate (lr = {self.settings['lr'] / 2:.1e}), a longer warm-up, or --no-bf16; the last checkpoint is sound.")
        for group_of in self.optimizer.param_groups:
            group_of["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, sum(int(ids.numel()) for ids, _ in made)

    def train(self) -> None:
        state = checkpoint.load(self.out, self.model, self.optimizer, self.run)
        if state:
            print(f"going on at step {state['step']} of {self.steps}", flush=True)
        else:
            state = {"run": self.run, "step": 0, "rows": [], "seconds": 0.0}
            state["rows"].append([0, 0, None, self.held_out(0), 0.0, 0, 0.0])
        self.model.train()
        index, began = 0, time.monotonic() - state["seconds"]
        first, first_at = state["step"], time.monotonic()
        for number in range(self.stages):
            plan = self.plan(number)
            for place, group in enumerate(plan):
                index += 1
                if index <= state["step"]:
                    continue
                if state["step"] >= self.last or time.monotonic() > self.until:
                    return self.finish(state)
                back = self.way_back(number)
                if back and place == 0:
                    state["stage_began"] = adapter.weights(self.model)
                lr = self.rate(index - 1)
                loss, tokens = self.step(number, group, lr)
                if back and place + 1 == len(plan):
                    adapter.go_back(self.model, state.pop("stage_began"), back)
                held = self.held_out(index) if place + 1 == len(plan) or index == self.last else None
                state["step"], state["seconds"] = index, time.monotonic() - began
                state["rows"].append([index, number + 1, loss, held, lr, tokens, round(state["seconds"], 1)])
                self.show(state, tokens, first, first_at)
                if index % self.recipe["keep"]["every_steps"] == 0:
                    self.keep(state)
        self.finish(state)

    def way_back(self, stage: int) -> float:
        """The share of the way back to where it began that a stage takes at its end."""
        return 0.0 if stage < self.recipe["epochs"] else self.recipe["finish"][stage - self.recipe["epochs"]].get("back", 0.0)

    def held_out(self, step: int) -> float | None:
        """The loss of the held-out dialogues; a step is measured once, as it takes minutes."""
        if self.measured[0] != step and self.data.held:
            self.measured = (step, *adapter.held_out_loss(self.model, self.data.held))
        return self.measured[1] if self.data.held else None

    def show(self, state: dict, tokens: int, first: int, first_at: float) -> None:
        step, row = state["step"], state["rows"][-1]
        if step % 5 and step != self.last and row[3] is None:
            return
        each = (time.monotonic() - first_at) / max(1, step - first)
        held = f", held out {row[3]:.3f}" if row[3] is not None else ""
        recent = [r[2] for r in state["rows"][-10:] if r[2] is not None]
        print(f"step {step} of {self.steps}: loss {sum(recent) / len(recent):.3f}{held}, {tokens / each:.0f} tokens/s, "
              f"{time_of(each * (self.last - step))} left", flush=True)

    def keep(self, state: dict) -> None:
        checkpoint.save(self.out, self.model, self.optimizer, state)
        curve.write_csv(self.out / "curve.csv", state["rows"])

    def finish(self, state: dict) -> None:
        self.keep(state)
        save_adapter(self.model, self.out / "adapter")
        name = f"{self.recipe['name']}, seed {self.seed}"
        curve.draw(self.out / "curve.png", state["rows"], name)
        curve.tensorboard(self.out / "tensorboard", state["rows"])
        held, modes = self.held_out(state["step"]), self.measured[2]
        before = next((row[3] for row in state["rows"] if row[3] is not None), None)
        summary = {"recipe": self.recipe["name"], "template": self.recipe["template"], "seed": self.seed, "precision": precision.name(self.bf16), "steps": state["step"], "of": self.steps, "seconds": round(state["seconds"]),
                   "tokens": sum(row[5] for row in state["rows"]), "held_out_before": before,
                   "held_out": held, "held_out_by_mode": modes, "base": self.base, "data": self.data.sources,
                   "commercial": self.data.commercial, "notes": self.data.notes}
        saving.write(self.out / "run.json", lambda path: path.write_text(json.dumps(summary, indent=2) + "\n"))
        print(json.dumps(summary), flush=True)
        if state["step"] < self.steps:
            print(f"stopped as asked, at step {state['step']} of {self.steps}; the same command goes on from there", flush=True)


def save_adapter(model, folder: Path) -> None:
    """The PEFT folder, without the path of the base on this machine."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = ""
    try:
        model.save_pretrained(str(folder), safe_serialization=True)
    except (OSError, SafetensorError) as error:
        raise Problem(f"{folder} could not be saved: {error}", "Make room, and start again: the run goes on from its last checkpoint.") from None
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.allow_abbrev = False  # scripts/training.sh knows whole names
    parser.add_argument("--recipe", default="smollm2", help="a name in training/recipes, or a .toml")
    parser.add_argument("--base", type=Path, default=base.SERVED, help="a .gguf or a Hugging Face folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; one that is there is gone on with")
    parser.add_argument("--dialogues", type=Path, help="a .txt or .jsonl, or a folder of them; default: the recipe's, else training/dialogues")
    parser.add_argument("--persona-chat", type=Path, default=os.environ.get("DIALOGUE_DATA") or None, help="default: DIALOGUE_DATA")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--max-minutes", type=float, help="stop then; the same command goes on later")
    parser.add_argument("--max-steps", type=int, help="stop there, for a trial")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction,
                        help="half precision; default: as the run was begun, else where a GPU computes it natively, or the processor natively and faster")
    parser.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    return parser.parse_args(arguments)


def is_short_of_memory(error: Exception) -> bool:
    import torch

    # On a processor PyTorch has no error of its own for it.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def main(arguments=None) -> int:
    options = options_of(arguments)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        import torch

        if options.threads:
            torch.set_num_threads(options.threads)
        options.persona_chat = Path(options.persona_chat) if options.persona_chat else None
        run = Run(recipes.read(options.recipe), options)
        for note in run.data.notes:
            print(f"note: {note}", flush=True)
        print(f"{run.steps} steps in {precision.name(run.bf16)}, {sum(len(run.examples(n)) for n in run.epochs)} examples, {sum(len(e.ids) for n in run.epochs for e in run.epochs[n])} tokens, "
              f"{sum(e.counted() for n in run.epochs for e in run.epochs[n])} of them learnt, {len(run.data.held)} dialogues held out", flush=True)
        run.train()
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        print(f"error: {Problem('the memory does not suffice: ' + base.first_line(error), *MORE_MEMORY)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
