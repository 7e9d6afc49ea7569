"""A mock of OpenAI's and Anthropic's APIs that logs the truth of every call, one JSON object a line."""

import json
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import answers
from answers import JSON, Call


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fixture: ClassVar[str]
    log: ClassVar[Path]
    numbers: ClassVar[Iterable[int]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            call = self.logged(answers.openai_embeddings(body))
            self.send_json(200, answers.embeddings_body(call, len(body["input"])))
        elif self.path.endswith("/chat/completions"):
            self.answer_openai(body)
        else:
            self.answer_anthropic(body)

    def answer_openai(self, body: JSON) -> None:
        call = self.logged(answers.openai_chat(body, self.response_number()))
        if call.status == "error":
            self.send_json(500, answers.ERROR_BODIES["openai"])
        elif call.stream:
            asked = bool(body.get("stream_options", {}).get("include_usage"))
            lines = [f"data: {json.dumps(event)}\n\n" for event in answers.openai_events(call, asked)]
            self.send_stream([*lines, "data: [DONE]\n\n"])
        else:
            self.send_json(200, answers.openai_body(call))

    def answer_anthropic(self, body: JSON) -> None:
        call = self.logged(answers.anthropic_chat(body, self.response_number()))
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

    def send_json(self, status: int, body: JSON) -> None:
        payload = json.dumps(body).encode()
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
