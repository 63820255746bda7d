"""Whether a run computes in bfloat16: as asked, else as it was begun, else where the machine multiplies it without emulating it,
and faster than floats."""

import platform
import statistics
import time
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
    return bool(INSTRUCTIONS & set(flags())) and faster()


def faster(tokens: int = 1024, inputs: int = 576, outputs: int = 1536, rounds: int = 7) -> bool:
    """Does a matrix product of a training step's size take a tenth less time in half precision? Not every processor with the
    instruction gains: a Xeon whose tiles (AMX) are hidden from its virtual machine does 84 GFLOPS a core with it and 130 without, where
    an EPYC trains 390 tokens a second with it and 241 without. Both take turns, half a second in all; the run's own random numbers
    stay untouched."""
    import torch

    kinds = (torch.float32, torch.bfloat16)
    own = torch.Generator().manual_seed(1)
    shapes = ((tokens, inputs), (outputs, inputs))
    operands = {kind: [torch.randn(shape, generator=own).to(kind) for shape in shapes] for kind in kinds}
    seconds = {kind: [] for kind in kinds}
    # The first ones make the kernels.
    for number in range(-2, rounds):
        for kind in kinds:
            began = time.perf_counter()
            torch.nn.functional.linear(*operands[kind])
            if number >= 0:
                seconds[kind].append(time.perf_counter() - began)
    return statistics.median(seconds[torch.bfloat16]) < 0.9 * statistics.median(seconds[torch.float32])


def flags(path: Path = Path("/proc/cpuinfo")) -> list:
    """What the processor can do; nothing where the system does not say so in Linux's way."""
    if platform.system() != "Linux":
        return []
    lines = path.read_text(errors="replace").splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), [])
