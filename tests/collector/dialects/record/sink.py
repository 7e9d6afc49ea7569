"""An OTLP/HTTP receiver that appends each body it is sent to one file a signal.

Protobuf messages written one after the other read as one message with all their parts.
"""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import ClassVar

import body


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fixture: ClassVar[str]
    folder: ClassVar[Path]
    writing: ClassVar[Lock]

    def do_POST(self) -> None:
        sent = body.read(self)
        if self.headers["content-encoding"] == "gzip":
            sent = gzip.decompress(sent)
        *_, signal = self.path.split("/")
        if signal in ("traces", "logs", "metrics") and self.headers["content-type"] == "application/x-protobuf":
            with self.writing, (self.folder / f"{self.fixture}.{signal}.pb").open("ab") as recording:
                recording.write(sent)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def listen(fixture: str, folder: Path) -> ThreadingHTTPServer:
    """A sink on a free port of 127.0.0.1, not yet serving."""
    state = {"fixture": fixture, "folder": folder, "writing": Lock()}
    return ThreadingHTTPServer(("127.0.0.1", 0), type("FixtureSink", (Sink,), state))
