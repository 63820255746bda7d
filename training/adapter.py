"""LoRA on a base by PEFT, and the loss of a batch."""

from dataset.problem import Problem
from encode import IGNORED


def wrap(model, lora: dict):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], target_modules=lora["targets"],
                        bias="none", task_type="CAUSAL_LM")
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise Problem(f"the recipe does not fit this base: {str(error).splitlines()[0][:200]}",
                      f"targets = {lora['targets']!r}; this base has: {', '.join(linear_names(model))}.") from None


def weights(model) -> dict:
    """What is trained, as it is now."""
    return {name: value.detach().cpu().clone() for name, value in model.named_parameters() if value.requires_grad}


def go_back(model, before: dict, share: float) -> None:
    """Takes what is trained a share of the way back to what it was: between the two ends of a fine-tuning lie models that keep more of what the
    first one knew than they lose of what the second one learnt (Wortsman et al. 2022, WiSE-FT)."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in before.items():
            parameters[name].lerp_(value.to(parameters[name].device), share)


def linear_names(model) -> list:
    import torch

    return sorted({name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)})


def loss_sum(model, ids, labels):
    """(summed loss, tokens counted). The vocabulary's logits, a fifth of the work, are computed only where they count."""
    import torch

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = base.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    counted = wanted != IGNORED
    logits = base.get_output_embeddings()(hidden[counted]).float()
    return torch.nn.functional.cross_entropy(logits, wanted[counted], reduction="sum"), int(counted.sum())


def held_out_loss(model, examples: list, batch_tokens: int = 2048) -> tuple:
    """(mean loss of a counted token, {mode: mean loss})."""
    import torch

    from batches import plan, tensors

    sums = {}
    model.eval()
    with torch.no_grad():
        for indices in plan(examples, 0, 0, {"batch_tokens": batch_tokens}):
            for mode in sorted({examples[i].mode for i in indices}):
                chosen = [examples[i] for i in indices if examples[i].mode == mode]
                ids, labels = tensors(chosen)
                total, count = loss_sum(model, ids.to(model.device), labels.to(model.device))
                before = sums.get(mode, (0.0, 0))
                sums[mode] = (before[0] + float(total), before[1] + count)
    model.train()
    mean = sum(total for total, _ in sums.values()) / max(1, sum(count for _, count in sums.values()))
    return mean, {mode: total / max(1, count) for mode, (total, count) in sums.items()}
