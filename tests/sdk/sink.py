"""A real collector for tests: takes OTLP and scores over HTTP on a free port, and can be told to refuse or to stall."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Sink:
    """What arrived, and how to answer: `answers` is used up first, then 200."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    delay_s: float = 0.0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all spans that were taken, in order of arrival."""
        return [
            span.name
            for request in self.requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, str | int]]:
        """Resource attributes of every batch that was taken."""
        return [
            {item.key: item.value.string_value or item.value.int_value for item in group.resource.attributes}
            for request in self.requests
            for group in request.resource_spans
        ]


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def running_sink(port: int = 0) -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(sink.delay_s)
            status, headers = sink.answers.pop(0) if sink.answers else (200, {})
            if status == 200:
                self._take(body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _take(self, body: bytes) -> None:
            sink.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.path == "/api/v1/scores":
                sink.scores.extend(json.loads(body))
                return
            body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            sink.requests.append(ExportTraceServiceRequest.FromString(body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    sink.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
