"""The system text of a prompt, letter for letter as actors/src/prompt.rs writes it for chat templates, with the line of what is known
about the person (actors/src/known.rs)."""

import functools
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shipped_persona() -> dict:
    """personas/arthur.toml: `intro`, and `modes[MODE]["instruction"]`."""
    return tomllib.loads((ROOT / "personas/arthur.toml").read_text(encoding="utf-8"))


def system_text(intro: str, instruction: str, memory: list) -> str:
    """Persona, mode, and what is known about the person."""
    known = f"\nWhat you know about the person: {'; '.join(memory)}." if memory else ""
    return f"{intro}\n{instruction}{known}"


@functools.cache
def bot_texts() -> dict:
    """What the bot says without the model where somebody is in danger, by the name of its setting in ai-friend.example.toml."""
    example = (ROOT / "ai-friend.example.toml").read_text(encoding="utf-8")
    return {name: json.loads(text) for name, text in re.findall(r'^#((?:answer|next_)\w*) = (".*")$', example, re.M)}
