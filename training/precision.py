"""Whether a run computes in bfloat16: as asked, else as it was begun, else where the machine multiplies it without emulating it."""

import platform
from pathlib import Path

# What Linux calls the instructions: Intel's and AMD's vectors and tiles, and Arm's.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def chosen(asked: bool | None, begun: str | None, device: str) -> bool:
    if asked is not None:
        return asked
    return begun == name(True) if begun else native(device)


def name(bf16: bool) -> str:
    return "bf16" if bf16 else "f32"


def native(device: str) -> bool:
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(INSTRUCTIONS & set(flags()))


def flags(path: Path = Path("/proc/cpuinfo")) -> list:
    """What the processor can do; nothing where the system does not say so in Linux's way."""
    if platform.system() != "Linux":
        return []
    lines = path.read_text(errors="replace").splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), [])
