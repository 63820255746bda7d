"""A trained run to the adapter that the bot loads: the PEFT folder with friend_adapter.json, converted to GGUF by the binary.

    python export.py target/training-run/seed1 --output models/adapters/friend-smollm2.gguf
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from base import SERVED, SOURCE, identity, sha256
from dataset.problem import Problem, exit_code
from dataset.prompts import ROOT

SHIPPED = ROOT / "models/adapters/friend-smollm2.gguf"
# Of the shipped one, which lies in the repository and in the program.
MOST_BYTES = 6 * 10**6


def terms(run: dict, base_sha256: str) -> dict:
    """An adapter is under its base's licence. Only of the embedded model is that known: of another base nobody has checked whether it may
    be used commercially, so nothing is said of it."""
    data = "; ".join(run["data"])
    if not run["commercial"]:
        return {"licence": f"non-commercial; data: {data}", "commercial": False}
    catalogue = tomllib.loads((ROOT / "models/catalogue.toml").read_text(encoding="utf-8"))["model"]
    known = next((entry for entry in catalogue if entry["base"].get("sha256") == base_sha256), None)
    if known is None:
        return {"licence": f"unknown, as its base's is; data: {data}"}
    return {"licence": f"{known['licence']}; data: {data}", "commercial": known["commercial"]}


def card(run: dict, source: Path, name: str) -> dict:
    """What the adapter's metadata tell about it."""
    base_sha256 = sha256(source)
    return {
        "name": name,
        **terms(run, base_sha256),
        "base_sha256": base_sha256,
        "base_name": source.name,
        "template": {"text": "dolly", "chat": "chat"}[run.get("template", "chat")],
        "data": "; ".join(run["data"]),
        "recipe": f"{run['recipe']}, seed {run['seed']}, {run['steps']} steps",
    }


def stopped(run: dict) -> bool:
    """Whether a run was stopped before its end, as by --max-minutes."""
    return run["steps"] < run.get("of", run["steps"])


def unfit(run: dict, served: Path, folder: Path, shipped: bool) -> None:
    """Refuses what would say the wrong thing of itself, or replace the shipped adapter by something half done."""
    if (trained := run.get("base")) and trained != identity(served):
        raise Problem(f"{folder} was trained on another base than {served}", "Name it with --base, and with --source the pinned file that it was made of.")
    if shipped and stopped(run):
        raise Problem(f"{folder} stopped at step {run['steps']} of {run['of']}: it does not replace the shipped adapter",
                      "The command that began it goes on with it; --output FILE.gguf exports it as it is.")


def result(folder: Path) -> dict:
    """What a run tells of itself."""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except OSError:
        raise Problem(f"{folder} holds no finished run", "`make train` makes one; a stopped run goes on with the same command.") from None


def export(folder: Path, source: Path, served: Path, output: Path, binary: Path, name: str, dtype: str = "f16") -> None:
    run = result(folder)
    shipped = output.resolve() == SHIPPED.resolve()
    unfit(run, served, folder, shipped)
    adapter = folder / "adapter"
    (adapter / "friend_adapter.json").write_text(json.dumps(card(run, source, name), indent=2) + "\n")
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.new")
    command = [binary, "models", "convert-lora", adapter, "--base", served, "-o", beside, "--dtype", dtype]
    try:
        done = subprocess.run(command, check=False)
    except OSError as error:
        raise Problem(f"{binary} cannot be run: {error.strerror}", "`make build` makes it; or name it with --binary.") from None
    if done.returncode:
        raise Problem(f"`{binary.name} models convert-lora` failed", "Its message is above.")
    if shipped and (size := beside.stat().st_size) > MOST_BYTES:
        beside.unlink()
        raise Problem(f"the adapter has {size:,} bytes; the shipped one may have {MOST_BYTES:,}", "Lower the rank in the recipe, or name another file with --output.")
    beside.replace(output)
    print(f"{output}: {output.stat().st_size:,} bytes, sha256 {sha256(output)}")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--output", type=Path, default=SHIPPED)
    parser.add_argument("--base", type=Path, default=SERVED, help="the file it was trained on")
    parser.add_argument("--source", type=Path, help="the pinned file whose sha256 the adapter names; default: the embedded model's, else --base")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ai-friend")
    parser.add_argument("--name", default="friend-smollm2")
    parser.add_argument("--dtype", default="f16", choices=("f16", "f32"))
    parser.add_argument("--finished-only", action="store_true", help="of a run that was stopped before its end, say so and export nothing")
    options = parser.parse_args(arguments)

    def run() -> None:
        if options.finished_only and stopped(made := result(options.run)):
            print(f"{options.run} was stopped at step {made['steps']} of {made['of']}, so nothing is exported; the command that began it goes on with it")
            return
        source = options.source or (SOURCE if options.base.resolve() == SERVED.resolve() else options.base)
        if not source.is_file():
            raise Problem(f"{source} is no file whose sha256 the adapter could name", "Name the GGUF that will be served with --source.")
        export(options.run, source, options.base, options.output, options.binary, options.name, options.dtype)

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
