"""How judge.py and grade.py ask another model: the options of both, what it will cost, and each answer kept as it comes."""

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass

from .client import Client
from .verdicts import Verdicts


@dataclass(frozen=True)
class Form:
    """The verdicts that a judge may end its answer with, as [[verdict]]."""

    verdicts: tuple

    def verdict(self, answer: str) -> str | None:
        """One of them; None if the answer names none, or several."""
        shown = {verdict.casefold(): verdict for verdict in self.verdicts}
        found = {shown[told.casefold()] for told in re.findall(r"\[\[(\w+)\]\]", answer) if told.casefold() in shown}
        return found.pop() if len(found) == 1 else None

    def again(self, asked: list) -> list:
        """The same question once more, after an answer that held no verdict."""
        reminder = f"\n\nEnd your answer with exactly one of {' or '.join(f'[[{verdict}]]' for verdict in self.verdicts)}, and write no other."
        return [*asked[:-1], {**asked[-1], "content": asked[-1]["content"] + reminder}]


def fields(text: str) -> dict:
    """--body: a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def options(parser: argparse.ArgumentParser, max_tokens: int) -> None:
    """What every judge's command takes."""
    parser.add_argument("--url", required=True, help="base address, before /chat/completions")
    parser.add_argument("--judge", required=True, metavar="MODEL", help="the model's name there")
    parser.add_argument("--price-in", type=float, metavar="P", help="price of a million tokens that are sent")
    parser.add_argument("--price-out", type=float, metavar="P", help="price of a million tokens that are answered")
    parser.add_argument("--max-tokens", type=int, default=max_tokens, help="of one answer")
    parser.add_argument("--body", type=fields, default={}, metavar="JSON", help="more fields of the request; null leaves one out")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one call")
    parser.add_argument("--yes", action="store_true", help="do not ask before starting")


def client(given: argparse.Namespace) -> Client:
    body = {"temperature": 0, "max_tokens": given.max_tokens} | given.body
    return Client(given.url, given.judge, os.environ.get("JUDGE_API_KEY"), body, given.timeout)


def estimate(missing: list, given: argparse.Namespace) -> str:
    """What the calls that are still to be made will take."""
    tokens_in = sum(len(message["content"]) for _, messages in missing for message in messages) // 4
    tokens_out = len(missing) * given.max_tokens
    lines = [
        f"calls    {len(missing)}, and one more for each answer without a verdict",
        f"tokens   about {tokens_in:,} in (a token taken as four characters), up to {tokens_out:,} out",
    ]
    if given.price_in is None or given.price_out is None:
        return "\n".join([*lines, "cost     unknown: give --price-in and --price-out, per million tokens"])
    cost = (tokens_in * given.price_in + tokens_out * given.price_out) / 1e6
    return "\n".join([*lines, f"cost     up to about {cost:.2f}, in the prices' currency; further calls not counted"])


def agreed(yes: bool) -> bool:
    """Whether to go on; only a terminal is asked."""
    try:
        return yes or not sys.stdin.isatty() or input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def ask(questions: list, verdicts: Verdicts, form: Form, given: argparse.Namespace) -> bool:
    """Asks [(key, messages)] what is not known yet; False where somebody thought better of it. An answer
    without a verdict is asked for once more, then kept as one."""
    judge = client(given)
    # A dict, as two questions may be the same one.
    missing = list({key: messages for key, messages in questions if key not in verdicts.known}.items())
    print(estimate(missing, given))
    if missing and not agreed(given.yes):
        print("nothing was asked")
        return False
    for number, (key, messages) in enumerate(missing, 1):
        answer = judge.answer(messages)
        told, tokens_in, tokens_out = form.verdict(answer.text), answer.tokens_in, answer.tokens_out
        if told is None:
            answer = judge.answer(form.again(messages))
            told, tokens_in, tokens_out = form.verdict(answer.text), tokens_in + answer.tokens_in, tokens_out + answer.tokens_out
        verdicts.add(key, verdict=told, answer=answer.text, tokens_in=tokens_in, tokens_out=tokens_out)
        if number % 10 == 0 or number == len(missing):
            print(f"{number} of {len(missing)}", file=sys.stderr)
    return True
