"""Text to token ids and to what the loss counts."""

import json
from dataclasses import dataclass
from pathlib import Path

from dataset.problem import Problem

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """Token ids, and the same again where the loss counts them, else IGNORED."""

    id: str
    mode: str
    ids: tuple
    labels: tuple

    def counted(self) -> int:
        return sum(label != IGNORED for label in self.labels[1:])


class Chat:
    """A chat template taken apart as gguf/src/chat_template.rs does it: what stands before and after each role's words. Words
    are tokenised as plain text, so that nobody types a control token."""

    ROLES = {"person": "user", "friend": "assistant", "bot": "assistant"}

    def __init__(self, tokenizer):
        from jinja2 import TemplateError

        if not tokenizer.chat_template:
            raise Problem("the base model has no chat template", "Use a recipe with template = \"text\", or an instruct model.")
        self.tokenizer = tokenizer
        mark = ["\ue0011", "\ue0012", "\ue0013"]
        talk = [{"role": role, "content": mark[i]} for i, role in enumerate(("system", "user", "assistant"))]
        whole, self.around = "", {}
        for i, turn in enumerate(talk):
            try:
                longer = tokenizer.apply_chat_template(talk[: i + 1], tokenize=False)
            except TemplateError as error:
                raise Problem(f"the base model's chat template refuses the words of the {turn['role']}: {error}",
                              "The bot begins with a system text: take a model whose template has one, or a recipe with template = \"text\".") from None
            part = longer.removeprefix(whole)
            if part.count(mark[i]) != 1:
                raise Problem("the base model's chat template cannot be taken apart", "Use a recipe with template = \"text\".")
            self.around[turn["role"]] = [self.special(text) for text in part.split(mark[i])]
            whole = longer

    def special(self, text: str) -> list:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def plain(self, text: str) -> list:
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids

    def prompt(self, system: str, turns: list) -> list:
        """Ids up to where the friend answers."""
        encoded = self.encode("", "", system, turns)
        return list(encoded.ids) + self.around["assistant"][0]

    def encode(self, name: str, mode: str, system: str, turns, most: int = 1 << 30) -> Encoded:
        before, after = self.around["system"]
        head = before + self.plain(system) + after
        parts = []
        for who, text in turns:
            before, after = self.around[self.ROLES[who]]
            words = self.plain(text)
            ids = before + words + after
            labels = [IGNORED] * len(ids)
            if who == "friend":
                # The words, and the token that ends the turn; the line break after it is the template's.
                end = len(before) + len(words) + 1
                labels[len(before) : end] = ids[len(before) : end]
            parts.append((ids, labels))
        while len(parts) > 2 and len(head) + sum(len(ids) for ids, _ in parts) > most:
            parts = parts[2:]
        ids = head + [token for part, _ in parts for token in part]
        labels = [IGNORED] * len(head) + [label for _, part in parts for label in part]
        # What follows the last counted token teaches nothing.
        while labels and labels[-1] == IGNORED and parts and turns[-1][0] == "friend":
            ids.pop(), labels.pop()
        return Encoded(name, mode, tuple(ids[:most]), tuple(labels[:most]))


def texts(path: Path, tokenizer, most: int) -> list:
    """JSONL of {"text": …}, the loss on all of it."""
    found = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "`python -m dataset reference` makes the reference's files.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            # As some editors put a byte order mark before it.
            text = json.loads(line.decode("utf-8-sig"))["text"]
            ids = tuple(tokenizer(text, add_special_tokens=False).input_ids[:most])
        except UnicodeDecodeError as error:
            raise Problem(f"{path}:{number}: not UTF-8 (byte {error.start} of the line)", "Save it as UTF-8.") from None
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise Problem(f"{path}:{number}: no object with a `text`: {error}", "Mend or remove the line.") from None
        if ids:
            found.append(Encoded(f"line-{number}", "", ids, ids))
    if not any(example.counted() for example in found):
        raise Problem(f"{path} holds no text to learn from", "Each line is an object with a `text`, such as {\"text\": \"Person: hi\\nYou: hello\\n\"}.")
    return found
