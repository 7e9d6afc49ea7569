"""An HTTP/1.1 client for plain http and unix sockets, on asyncio's protocols and httptools.

It costs a quarter of aiohttp's time a call, and a vLLM on the same network is what most calls go to. It knows just what
the relay needs: one POST, its answer whole or piece by piece, keep-alive. TLS stays with aiohttp.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 20.0  # below what servers keep, so that the backend is rarely the one that closes first
MOST_IDLE = 256  # connections kept to one backend
LONGEST_HEAD_BYTES = 64 * 1024
LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
PAUSE_BYTES = 256 * 1024  # unread: a client that reads slowly slows the backend down


class Connection(asyncio.Protocol):
    """One connection, and the answer that is on it. Every wait ends with OSError when the connection breaks."""

    def __init__(self, idle: list["Connection"]) -> None:
        self.status = 0
        self.idle_since = 0.0
        self.heard = False  # a byte of the present answer has come
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost: OSError | None = None
        self._busy = False
        self._paused = False
        self._begin()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, of the same methods

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._fail("the backend spoke without being asked")
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the backend does not speak HTTP/1.1")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy and self._headed and not self._framed and not exc:
            self._done = True  # an answer without a length ends with its connection
        self._lost = self._lost or ConnectionResetError("the connection was closed")
        if self in self._idle:
            self._idle.remove(self)
        self._wake()

    # --- what httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > LONGEST_HEAD_BYTES:
            raise ValueError("the backend's headers are too long")  # httptools hands it to data_received
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        self._framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._limit and self._transport and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._headed:  # 100 Continue is no answer
            self._done = True
            self._lasting = self._framed and self._parser.should_keep_alive()

    # --- what the relay calls

    async def request(self, head: bytes, body: bytes) -> None:
        """Send, and wait for the status line and headers."""
        self._begin()
        self._busy = True
        if self._transport and not self._lost:
            self._transport.write(head + body)
        while not self._headed:
            await self._wait()

    def header(self, name: str) -> str:
        return self._headers.get(name.lower().encode(), b"").decode("latin-1")

    async def read(self) -> bytes:
        self._limit = LONGEST_ANSWER_BYTES
        while not self._done:
            if self._size > LONGEST_ANSWER_BYTES:
                raise ConnectionAbortedError("the answer is too long")
            self._resume()
            await self._wait()
        return self._take()

    async def read_some(self) -> bytes:
        while not self._parts and not self._done:
            self._resume()
            await self._wait()
        return self._take()

    def close(self) -> None:
        """Keep the connection for another call if this answer was read to its end, else close it."""
        whole = self._done and self._lasting and not self._parts and not self._lost
        self._busy = False
        if whole and len(self._idle) < MOST_IDLE:
            self.idle_since = time.monotonic()
            self._idle.append(self)
        else:
            self.abort()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._head_bytes = self._size = 0
        self._limit = PAUSE_BYTES
        self._headed = self._framed = self._done = self._lasting = self._paused = self.heard = False

    def _take(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data

    def _resume(self) -> None:
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        if self._lost:
            raise self._lost
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, why: str) -> None:
        self._lost = ConnectionAbortedError(why)
        self.abort()


class Wire:
    """Connections by address. `unix:` and a path is an address too."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)

    async def post(self, base: str, path: str, headers: Mapping[str, str], body: bytes) -> Connection:
        """Send `body` to `path` under `base`; the answer's head has come when this returns. Raises OSError."""
        head = _head(base, path, headers, len(body))
        while connection := self._take_idle(base):
            try:
                await _exchange(connection, head, body)
            except OSError:
                if connection.heard:
                    raise
                continue  # it was closed while it lay idle, before the backend saw the request
            return connection
        connection = await self._connect(base)
        await _exchange(connection, head, body)
        return connection

    def close(self) -> None:
        for connections in self._idle.values():
            while connections:
                connections.pop().abort()

    def _take_idle(self, base: str) -> Connection | None:
        connections, oldest = self._idle[base], time.monotonic() - KEEPALIVE_S
        while connections:
            connection = connections.pop()
            if connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, base: str) -> Connection:
        loop = asyncio.get_running_loop()
        idle = self._idle[base]
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if base.startswith("unix:"):
                return (await loop.create_unix_connection(lambda: Connection(idle), base.removeprefix("unix:")))[1]
            parts = urlsplit(base)
            return (await loop.create_connection(lambda: Connection(idle), parts.hostname or "", parts.port or 80))[1]


async def _exchange(connection: Connection, head: bytes, body: bytes) -> None:
    try:
        await connection.request(head, body)
    except BaseException:  # also when the call was cancelled: the answer may still come
        connection.abort()
        raise


def _head(base: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
    host = "localhost" if base.startswith("unix:") else urlsplit(base).netloc
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
