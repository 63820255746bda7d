"""Where a run can be taken up again to the same curve: adapter, optimizer, random numbers, step. A checkpoint is written beside
its place and then moved there, so an interruption leaves the last whole one."""

from pathlib import Path

import adapter
from dataset import saving
from dataset.problem import Problem

NAME = "checkpoint.pt"
ADVICE = "The last checkpoint is whole. Make room, and start again: the run goes on from it."
# Where the name of what differs would not be understood.
OTHER = {"settings": "other settings of its recipe", "data": "other dialogues", "steps": "another number of steps"}


def save(folder: Path, model, optimizer, state: dict) -> None:
    import torch

    content = {"adapter": adapter.weights(model), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "state": state}
    if torch.cuda.is_available():
        content["cuda_rng"] = torch.cuda.get_rng_state_all()
    saving.write(folder / NAME, lambda path: torch.save(content, path), ADVICE)


def begun(folder: Path) -> dict:
    """What the run in `folder` was begun with; nothing where there is none, or none that can be read, which `load` tells."""
    import torch

    try:
        return torch.load(folder / NAME, map_location="cpu", weights_only=True)["state"]["run"]
    except Exception:  # whatever a damaged file does to the unpickler
        return {}


def load(folder: Path, model, optimizer, wanted: dict) -> dict | None:
    """The state of the run in `folder`, put back; None where there is none. `wanted` must be what the run was begun with."""
    import torch

    path = folder / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state, trained = content["state"], content["adapter"]
    except Exception as error:  # whatever a damaged file does to the unpickler
        raise Problem(f"{path} is damaged: {str(error).splitlines()[0]}", "Remove it to begin anew, or name another folder with --out.") from None
    if different := [name for name in wanted if state["run"].get(name) != wanted[name]]:
        raise Problem(f"{folder} holds a run with {OTHER.get(different[0], f'another {different[0]}')}", "Name another folder with --out, or remove this one.")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in trained.items():
            parameters[name].copy_(value)
    optimizer.load_state_dict(content["optimizer"])
    torch.set_rng_state(content["rng"])
    # Dropout draws from the GPU's own numbers.
    if torch.cuda.is_available() and len(content.get("cuda_rng", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(content["cuda_rng"])
    return state
