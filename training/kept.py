"""What was measured of an arm, kept in the evaluation's folder: a stopped evaluation goes on with the next arm, and the base is not
measured again for every adapter. Whatever could change a figure is in the key, so nothing old is taken for new."""

import hashlib
import json
from pathlib import Path

import embedding
import engine
from dataset import saving, store
from export import SHIPPED

HERE = Path(__file__).parent
# What measures, and by what; neither tests nor texts about it.
READ = (".py", ".toml", ".jsonl", ".txt")


def sources(dialogues: Path) -> list:
    """The files of the pipeline, and the dialogues' where they lie elsewhere."""
    own = [path for path in HERE.rglob("*") if path.suffix in READ and "tests" not in path.relative_to(HERE).parts]
    other = [] if HERE in dialogues.resolve().parents else store.files(dialogues) or [dialogues]
    return sorted(own) + sorted(other)


def served(adapter: str) -> list:
    """What lies beside the bot's binary and changes its replies or how they are judged: the adapter, and the emotion scorer."""
    own = [] if adapter == "none" else [SHIPPED if adapter == "shipped" else Path(adapter)]
    return own + [embedding.FOLDER / name for name in ("model.onnx", "tokenizer.json", "config.json")]


def key(files: list, values: dict) -> str:
    """A hash of files (the bot's own binary holds persona and catalogue) and settings; the bot's variables, and files that they
    name, change what it serves."""
    settings = {name: value for name, value in engine.surroundings().items() if name == "MODEL" or name.startswith("AI_FRIEND_")}
    digest = hashlib.sha256(json.dumps([values, settings], sort_keys=True, default=str).encode())
    for path in [*files, *(path for _, value in sorted(settings.items()) if (path := Path(value)).is_file())]:
        content = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"none"
        digest.update(json.dumps([path.name, content.hex()]).encode())
    return digest.hexdigest()


def load(path: Path, wanted: str):
    """What was kept under this key; None where nothing was, or it cannot be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept["measured"] if kept["key"] == wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, wanted: str, measured) -> None:
    text = json.dumps({"key": wanted, "measured": measured}, ensure_ascii=False)
    saving.write(path, lambda beside: beside.write_text(text, encoding="utf-8"))
