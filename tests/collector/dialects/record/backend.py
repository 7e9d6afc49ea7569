"""A mock of OpenAI's and Anthropic's APIs that logs the truth of every call, one JSON object a line."""

import json
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import answers
import body
from answers import JSON, Call


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fixture: ClassVar[str]
    log: ClassVar[Path]
    numbers: ClassVar[Iterable[int]]

    def do_POST(self) -> None:
        asked = json.loads(body.read(self))
        if self.path.endswith("/embeddings"):
            call = self.logged(answers.openai_embeddings(asked))
            self.send_json(200, answers.embeddings_body(call, len(asked["input"])))
        elif self.path.endswith("/chat/completions"):
            self.answer_openai(asked)
        else:
            self.answer_anthropic(asked)

    def answer_openai(self, asked: JSON) -> None:
        call = self.logged(answers.openai_chat(asked, self.response_number()))
        if call.status == "error":
            self.send_json(500, answers.ERROR_BODIES["openai"])
        elif call.stream:
            with_usage = bool(asked.get("stream_options", {}).get("include_usage"))
            lines = [f"data: {json.dumps(event)}\n\n" for event in answers.openai_events(call, with_usage)]
            self.send_stream([*lines, "data: [DONE]\n\n"])
        else:
            self.send_json(200, answers.openai_body(call))

    def answer_anthropic(self, asked: JSON) -> None:
        call = self.logged(answers.anthropic_chat(asked, self.response_number()))
        if call.status == "error":
            self.send_json(500, answers.ERROR_BODIES["anthropic"])
        elif call.stream:
            events = answers.anthropic_events(call)
            self.send_stream(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        else:
            self.send_json(200, answers.anthropic_body(call))

    def response_number(self) -> str:
        """Unlike in any other fixture, so that a store may hold them all."""
        return f"{self.fixture}_{next(iter(self.numbers))}"

    def logged(self, call: Call) -> Call:
        with self.log.open("a") as log:
            log.write(json.dumps(call.as_json()) + "\n")
        return call

    def send_json(self, status: int, answer: JSON) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def send_stream(self, lines: Iterable[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for line in lines:
            self.wfile.write(line.encode())
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def listen(fixture: str, log: Path) -> ThreadingHTTPServer:
    """A backend on a free port of 127.0.0.1, not yet serving."""
    state = {"fixture": fixture, "log": log, "numbers": count(1)}
    return ThreadingHTTPServer(("127.0.0.1", 0), type("FixtureBackend", (Backend,), state))
