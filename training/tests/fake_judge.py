"""A judge's server on this machine: counts what it is asked, and answers as a test wants it to."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIDE = re.compile(r"\[The start of the talk with friend (.)\]\n(.*?)\n\[The end of the talk with friend", re.S)


class FakeJudge:
    """`answer(user's text, number of the request)` gives a verdict's text, or (status, headers, body)."""

    def __init__(self, answer):
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, "key": self.headers.get("Authorization"), "body": body})
                told = answer(body["messages"][-1]["content"], len(outer.requests))
                status, headers, data = told if isinstance(told, tuple) else (200, {}, completion(told))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def completion(text) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 100, "completion_tokens": 7}}).encode()


def sides(text: str) -> dict:
    """What stands on each side, {"A": talk, "B": talk}."""
    return dict(SIDE.findall(text))


def longer(text: str, _: int) -> str:
    """Prefers the longer side, wherever it stands."""
    shown = sides(text)
    return "It says more. [[A]]" if len(shown["A"]) > len(shown["B"]) else "It says more. [[B]]"


def knows(text: str, _: int) -> str:
    """Prefers the side that takes up the person's own words."""
    right = {name: all(re.search(r"(thing\d+)", said)[1] in reply for said, reply in re.findall(r"Person: (.*)\nFriend .: (.*)", talk))
             for name, talk in sides(text).items()}
    return "[[C]]" if right["A"] == right["B"] else "[[A]]" if right["A"] else "[[B]]"


def first(*_) -> str:
    """Always the same position."""
    return "[[A]]"
