"""Files that are whole or not there: written beside their place, then moved."""

import errno
import os
from pathlib import Path

from .problem import Problem

ADVICE = "Make room, and start again."


def write(path: Path, action, advice: str = ADVICE) -> None:
    """Runs `action` on a path beside, and moves what it wrote into place; a full disk is told as such."""
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        action(beside)
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # PyTorch's writer reports a full disk as a RuntimeError without a number.
        full = full or (isinstance(error, RuntimeError) and any(word in str(error) for word in ("write", "enforce fail", "No space")))
        if full:
            raise Problem(f"the disk is full: {path} could not be saved", advice) from None
        raise Problem(f"{path} could not be saved: {error}", "Mend that, and start again.") from None
