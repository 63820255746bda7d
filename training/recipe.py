"""Recipes: TOML files with every value that decides what training gives. Read with checks, so that a typo is an error, and so is a
licence that the data do not have."""

import json
import re
import tomllib
from pathlib import Path

from dataset import augment, kind
from dataset.problem import Problem
from dataset.store import MODES

FOLDER = Path(__file__).parent / "recipes"
KNOWN = {
    "": {"template", "seed", "epochs", "max_tokens", "lora", "optimizer", "data", "finish", "keep"},
    "lora": {"r", "alpha", "dropout", "targets"},
    "optimizer": {"lr", "lr_end", "weight_decay", "warm_up", "schedule", "clip", "batch_tokens", "batch", "accumulate"},
    "data": {"arthur", "persona_chat", "weigh", "augment", "licence", "commercial", "train", "test", "most_test"},
    "finish": {"lr", "warm_up", "written", "again", "dialogues", "times", "general", "crossed", "augment", "topics", "back"},
    "keep": {"every_steps"},
}
# What each table cannot be without.
NEEDED = {
    "": {"template", "seed", "epochs", "max_tokens"},
    "lora": KNOWN["lora"],
    "optimizer": {"lr", "weight_decay", "warm_up", "schedule", "clip", "accumulate"},
    "finish": {"lr", "warm_up"},
    "keep": KNOWN["keep"],
}

# Whole numbers, and how little each may be: what fails only when its turn comes would fail after hours.
COUNTS = {
    "": {"epochs": 1, "max_tokens": 1},
    "lora": {"r": 1},
    "optimizer": {"warm_up": 0, "batch_tokens": 1, "batch": 1, "accumulate": 1},
    "data": {"persona_chat": 0, "most_test": 1},
    "finish": {"warm_up": 0, "written": 0, "again": 0},
    "keep": {"every_steps": 1},
}
SHARES = {"data": ("arthur",), "finish": ("general", "crossed", "back")}
TEXTS = {"data": ("licence", "train", "test"), "finish": ("dialogues",)}
TALKS = {"augment": augment.KINDS, "topics": augment.TOPICS, "times": MODES}

# The project's own dialogues: what is trained on by default, where all of them lie, and how a recipe tells their licence.
WRITTEN = "training/dialogues"
OWN = ("dialogues", "first-replies", "plain-replies")
CC0 = re.compile(r"training/({0})( and training/({0}))*, CC0-1\.0".format("|".join(OWN)))
OURS = tuple((FOLDER.parent / name).resolve() for name in OWN)
NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial", re.I)


def read(name: str) -> dict:
    """A recipe by its name in recipes/, or by its path."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise Problem(f"there is no recipe {path}", f"Known: {known}; or name a .toml file.") from None
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path}: {error}", "Mend the TOML.") from None
    # None, one, or several that follow each other.
    stages = recipe.get("finish", [])
    recipe["finish"] = stages if isinstance(stages, list) else [stages]
    for table, known in KNOWN.items():
        for values in recipe["finish"] if table == "finish" else [recipe.get(table) if table else recipe]:
            check(path, table, known, values)
            check_values(path, table, values)
    if not {"batch_tokens", "batch"} & set(recipe["optimizer"]):
        raise Problem(f"{path}: [optimizer] says neither `batch_tokens` nor `batch`", "recipes/smollm2.toml shows all that is needed.")
    if recipe["template"] not in ("chat", "text"):
        raise Problem(f"{path}: template `{recipe['template']}` is unknown", "Known: chat, text.")
    if recipe["optimizer"].get("schedule") not in ("cosine", "linear"):
        raise Problem(f"{path}: schedule `{recipe['optimizer'].get('schedule')}` is unknown", "Known: cosine, linear.")
    if recipe["finish"] and recipe["template"] != "chat":
        raise Problem(f"{path}: [finish] needs template = \"chat\"", "Its talks have turns; leave the table out.")
    for name in ("train", "licence") if recipe["template"] == "text" else ():
        if not recipe["data"].get(name):
            raise Problem(f"{path}: `{name}` is missing in [data]", "A recipe with template = \"text\" has texts of its own, and says whose they are.")
    licence = recipe["data"].get("licence", "")
    if recipe["data"].get("commercial") and NON_COMMERCIAL.search(licence):
        raise Problem(f"{path}: commercial = true, but the data's licence is `{licence}`", "Set commercial = false.")
    return recipe | {"name": path.stem}


def check(path: Path, table: str, known: set, values) -> None:
    """One table of a recipe; the names at its top are that of ``."""
    if not isinstance(values, dict):
        raise Problem(f"{path}: table [{table}] is {'missing' if values is None else 'no table'}", "recipes/smollm2.toml shows all tables.")
    if strange := set(values) - known:
        raise Problem(f"{path}: `{min(strange)}` is unknown{f' in [{table}]' if table else ''}", f"Known: {', '.join(sorted(known))}.")
    if missing := NEEDED.get(table, set()) - set(values):
        raise Problem(f"{path}: `{min(missing)}` is missing{f' in [{table}]' if table else ''}", "recipes/smollm2.toml shows all that is needed.")


def check_values(path: Path, table: str, values: dict) -> None:
    """What the numbers and texts of one table can be."""
    place = f" in [{table}]" if table else ""
    for name, least in COUNTS.get(table, {}).items():
        if name in values and not (type(values[name]) is int and values[name] >= least):
            raise Problem(f"{path}: `{name} = {values[name]}`{place} is no count", f"It is a whole number, {least} or more.")
    for name in SHARES.get(table, ()):
        share = values.get(name, 0)
        if not (type(share) in (int, float) and 0 <= share <= 1):
            raise Problem(f"{path}: `{name} = {share}`{place} is no share", "It is between 0 and 1, such as 0.5.")
    for name in TEXTS.get(table, ()):
        if not isinstance(values.get(name, ""), str):
            raise Problem(f"{path}: `{name} = {values[name]}`{place} is no text", "It stands in quotes: a path, such as \"training/first-replies\", or a licence.")
    for name in TALKS.keys() & values.keys():
        counts = values[name]
        if not isinstance(counts, dict) or not all(type(count) is int and count >= 0 for count in counts.values()):
            raise Problem(f"{path}: `{name} = {counts}`{place} holds no counts", f"It is a table, such as {{ {min(TALKS[name])} = 20 }}.")
        if strange := set(counts) - set(TALKS[name]):
            raise Problem(f"{path}: `{min(strange)}` in `{name}`{place} is unknown", f"Known: {', '.join(sorted(TALKS[name]))}.")


def identity(recipe: dict) -> str:
    """What makes two recipes the same; a single last stage, or none, as recipes were written before there could be several."""
    stages = recipe["finish"]
    rest = {name: value for name, value in recipe.items() if name != "finish"}
    return json.dumps(rest | ({"finish": stages[0] if len(stages) == 1 else stages} if stages else {}), sort_keys=True)


def of_dialogues(data: dict, written: Path) -> dict:
    """[data] for dialogues named beside it."""
    return of_files({name: value for name, value in data.items() if name not in ("train", "test")}, [written])


def of_files(data: dict, files: list) -> dict:
    """[data] for the files that are trained on. A recipe of the project's cannot know the licence of others' dialogues, nor can a copy
    that still tells the project's, or none; one that tells another says what its owner does."""
    others = [path.name for path in files if not is_ours(path)]
    if not others or data.get("licence") and not CC0.fullmatch(data["licence"]):
        return data
    ours = [data["licence"]] if len(others) < len(files) and data.get("licence") else []
    return data | {"licence": "; ".join([*ours, *(f"{name}, licence not stated" for name in others)]), "commercial": False}


def is_ours(path: Path) -> bool:
    """Whether dialogues are of the project's own, which are CC0."""
    return any(own in (path.resolve(), *path.resolve().parents) for own in OURS)


def check_origin(recipe: dict, dialogues: list) -> None:
    """Refuses dialogues of `python -m dataset kind` under a recipe that would say of the adapter that they are free."""
    data = recipe["data"]
    own = next((d.id for d in dialogues if kind.is_own(d)), None)
    if own and (data.get("commercial") or kind.LICENCE not in data.get("licence", "")):
        raise Problem(f"dialogue `{own}` is under {kind.LICENCE}, and recipe `{recipe['name']}` does not say so",
                      "Train with --recipe kind, or set the same licence and commercial = false as it does.")
