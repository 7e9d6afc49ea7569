"""A backend at the level of sockets, that breaks HTTP, its API, or both in every way that was seen to happen.

Each case has a path of its own, so that one server meets many at once: `/CASE/v1/chat/completions`. What a case's
requests meet, one each, is its script; the last word of it holds for all that follow.
"""

import asyncio
import json
import ssl
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proxy.backend import SECRET, completion, events
from tests.proxy.shapes import WHOLE

LONG_S = 60.0
OPENING = {"/v1/chat/completions": 1, "/v1/completions": 0, "/v1/responses": 4, "/v1/messages": 2}
SSE = b"content-type: text/event-stream"
JSON = b"content-type: application/json"
CHUNKED = b"transfer-encoding: chunked"
CLOSE = b"connection: close"


@dataclass
class BadBackend:
    """`requests` and `connections` are by case."""

    scripts: dict[str, list[str]] = field(default_factory=dict)
    requests: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    connections: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    left: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    context: ssl.SSLContext | None = None
    servers: list[asyncio.Server] = field(default_factory=list)
    origin: str = ""

    def url(self, case: str) -> str:
        return f"{self.origin}/{case}/v1"

    async def open_door(self) -> str:
        """Another port: what idles there is nobody else's."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.servers.append(server)
        return f"{'https' if self.context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                case, path, body = await _read_request(reader)
                self.connections[case].add(id(writer))
                script = self.scripts.get(case) or ["well"]
                at = min(len(self.requests[case]), len(script) - 1)
                self.requests[case].append(body)
                exchange = Exchange(reader, writer, path, body, number=len(self.requests[case]))
                await FAULTS[script[at]](exchange)
                if exchange.left:
                    self.left[case].set()
                if exchange.ended:
                    break
        writer.close()


@dataclass
class Exchange:
    """One request, and what may be sent back."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    path: str
    body: dict[str, Any]
    number: int
    ended: bool = False  # the connection is closed after it
    left: bool = False  # the other side was gone

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))

    def whole(self) -> bytes:
        return json.dumps(WHOLE.get(self.path, completion)(self.body)).encode()

    def events(self, mood: str = "") -> list[bytes]:
        return events(self.body, mood, self.path)

    def said(self, mood: str = "") -> bytes:
        """All of an answer's bytes, as it was asked for."""
        return b"".join(self.events(mood)) if self.streams else self.whole()

    def begun(self) -> bytes:
        """The first part of it: of a stream, up to the first word."""
        return b"".join(self.events()[: OPENING[self.path] + 1]) if self.streams else self.whole()[:40]

    def opened(self) -> bytes:
        """What a stream sends before it says anything."""
        return b"".join(self.events()[: OPENING[self.path]]) if self.streams else b""

    @property
    def kind(self) -> bytes:
        return SSE if self.streams else JSON

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self, body: bytes, *headers: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> None:
        """With a length."""
        lines = [b"HTTP/%s %s" % (version, status), b"content-length: %d" % len(body), *(headers or (self.kind,))]
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def begin(self, *headers: bytes, version: bytes = b"1.1") -> None:
        await self.send(b"\r\n".join((b"HTTP/%s 200 OK" % version, self.kind, *headers)) + b"\r\n\r\n")

    async def chunks(self, *parts: bytes, end: bool = True) -> None:
        for part in parts:
            if part:
                await self.send(b"%x\r\n%s\r\n" % (len(part), part))
        if end:
            await self.send(b"0\r\n\r\n")

    def close(self) -> None:
        self.ended = True

    def reset(self) -> None:
        self.ended = True
        self.writer.transport.abort()

    async def stay(self) -> None:
        """Say nothing more, until the other side leaves."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LONG_S):
                self.left = not await self.reader.read(1)
        self.ended = True


Fault = Callable[[Exchange], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    def keep(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return keep


def refusal(status: int, message: str = "boom") -> bytes:
    error = {"message": f"{message} with {SECRET} inside", "type": "SomeError", "param": None, "code": status}
    return json.dumps({"error": error}).encode()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, Any]]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    _, case, path = lines[0].split(" ")[1].split("/", 2)
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
    return case, "/" + path, json.loads(await reader.readexactly(length))


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName={name}"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@asynccontextmanager
async def running_bad_backend(context: ssl.SSLContext | None = None) -> AsyncIterator[BadBackend]:
    backend = BadBackend(context=context)
    backend.origin = await backend.open_door()
    try:
        yield backend
    finally:
        for server in backend.servers:
            server.close()
