"""Asks any OpenAI-compatible `/chat/completions`, by the standard library. The key goes into the request's header and nowhere
else: whatever the server says is shown without it."""

import email.utils
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from dataset.problem import Problem

ATTEMPTS = 6
# Seconds: the longest wait before another attempt, and the longest that the server may ask for.
MOST_BACKOFF, MOST_RETRY_AFTER = 30, 300
FINAL = {
    401: ("the judge refuses the key", "Put the right one into the environment variable JUDGE_API_KEY."),
    403: ("the judge forbids this", "The key in JUDGE_API_KEY may not use this model."),
    404: ("the judge's server knows no such address or model", "--url is the base before /chat/completions and often ends in /v1; --judge is the model's name there."),
}


@dataclass(frozen=True)
class Answer:
    """What was said, and the tokens that the server counted (0 where it counts none)."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


class Passing(Exception):
    """A fault that may be over at the next attempt; `wait` is what the server asks for, in seconds."""

    def __init__(self, what: str, wait: float | None = None):
        super().__init__(what)
        self.wait = wait


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another place."""

    def redirect_request(self, *_):
        return None


class Client:
    """One judge at one address."""

    def __init__(self, url: str, model: str, key: str | None, body: dict, timeout: float = 120):
        if not url.startswith(("http://", "https://")):
            raise Problem(f"--url {url} is no web address", "It begins with https:// (or http:// for a server of your own).")
        if key and not (key.isascii() and key.isprintable()):
            raise Problem("JUDGE_API_KEY holds letters that no key has", "Copy it again, without line breaks.")
        self.url, self.model, self.timeout = url.rstrip("/") + "/chat/completions", model, timeout
        self._key = key
        self._body = body
        self._opener = urllib.request.build_opener(NoRedirect)

    def answer(self, messages: list) -> Answer:
        """The model's answer; passing faults are tried again, a bounded number of times."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(messages)
            except Passing as fault:
                if attempt == ATTEMPTS:
                    raise Problem(f"the judge failed {ATTEMPTS} times; at last: {fault}", "What it said before is kept: the same command goes on from there.") from None
                wait = min(MOST_BACKOFF, 2 ** (attempt - 1)) if fault.wait is None else fault.wait
                if wait > MOST_RETRY_AFTER:
                    raise Problem(f"the judge asks to wait {wait:.0f} s ({fault})", "Run the same command later: it goes on from there.") from None
                print(f"{fault}; again in {wait:.0f} s", file=sys.stderr)
                time.sleep(wait)

    def _once(self, messages: list) -> Answer:
        body = {"model": self.model, "messages": messages, **self._body}
        data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        request = urllib.request.Request(self.url, data, {"Content-Type": "application/json", "User-Agent": "ai-friend"})
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=self.timeout) as told:
                return self._read(told.read())
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise Passing(f"{self._shown(self.url)} cannot be reached: {self._shown(str(getattr(error, 'reason', error)))}") from None

    def _read(self, data: bytes) -> Answer:
        try:
            told = json.loads(data)
            message, usage = told["choices"][0]["message"], told.get("usage") or {}
            # A refusal has no content.
            text = message.get("content") or ""
            counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
            return Answer(self._shown(str(text), None), *counts)
        except (ValueError, TypeError, LookupError, AttributeError):
            raise Passing(f"no chat completion came back: {self._shown(data.decode(errors='replace'))}") from None

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        with error:
            try:
                said = self._shown(error.read().decode(errors="replace"))
            except (OSError, http.client.HTTPException):
                said = ""
        if error.code in (408, 429) or error.code >= 500:
            return Passing(f"HTTP {error.code} {said}".strip(), retry_after(error.headers.get("Retry-After")))
        what, advice = FINAL.get(error.code, ("the judge's server refuses the request", "--body '{\"name\": value}' sets fields of the request, and null leaves one out."))
        return Problem(f"{what} (HTTP {error.code})", *([said] if said else []), advice)

    def _shown(self, text: str, most: int | None = 300) -> str:
        """Safe to print: without the key and without control characters; a message (not an answer) on one short line."""
        text = text.replace(self._key, "[key]") if self._key else text
        text = "".join(c for c in text if c.isprintable() or c in "\n\t")
        return text if most is None else " ".join(text.split())[:most]


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a Retry-After header in seconds or as a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
