"""An HTTP/1.1 client for http, https and unix sockets alike: connections by address, kept and used again.

It costs a quarter of aiohttp's time a call, and knows just what the relay needs: one request, its answer whole or piece
by piece.
"""

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from spanwell_proxy.upstream.connection import NEVER, Connection

CONNECT_TIMEOUT_S = 5.0
STALE_S = 1.0  # by then a connection that was closed while idle has shown it
LOOK_EVERY_S = 0.05
KEEPALIVE_S = 20.0  # below what servers keep, so that the backend is rarely the one that closes first


class Limits(NamedTuple):
    """`connect_s` counts from now; `head_by` is a time of the loop's clock."""

    connect_s: float = CONNECT_TIMEOUT_S
    head_by: float = NEVER


UNLIMITED: Final = Limits()


class Request(NamedTuple):
    """`base` is scheme, host and port; `head` the request line and the headers, all but the body's length."""

    base: str
    head: bytes
    body: bytes


class ConnectTimeoutError(TimeoutError):
    """The backend took no connection in time."""


class Wire:
    """Connections by address. `unix:` and a path is an address too."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: Request, limits: Limits = UNLIMITED) -> Connection:
        """The answer's head has come when this returns. Raises OSError."""
        head, began = b"%bcontent-length: %d\r\n\r\n" % (request.head, len(request.body)), time.monotonic()
        if connection := self._take_idle(request.base):
            try:
                await _exchange(connection, head, request.body, limits.head_by)
            except TimeoutError:
                raise
            except OSError:
                # Closed while it lay idle, before the backend saw the request: once more, on a new one. Only once: a
                # request that kills backends must not go through all the connections there are. And only where it
                # shows at once: what was worked at for a while may be paid for, and another try is an attempt.
                if connection.heard or time.monotonic() - began > STALE_S:
                    raise
            else:
                return connection
        connection = await self._connect(request.base, limits.connect_s)
        await _exchange(connection, head, request.body, limits.head_by)
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

    async def _connect(self, base: str, connect_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        idle = self._idle[base]
        try:
            async with asyncio.timeout(connect_s):
                if base.startswith("unix:"):
                    return await _connect_lane(base.removeprefix("unix:"), idle)
                parts = urlsplit(base)
                secure = self._secure() if parts.scheme == "https" else None
                port = parts.port or (443 if secure else 80)
                return (await loop.create_connection(lambda: Connection(idle), parts.hostname or "", port, ssl=secure))[
                    1
                ]
        except TimeoutError as error:
            raise ConnectTimeoutError from error

    def _secure(self) -> ssl.SSLContext:
        """Made when first needed: it takes 30 ms. `SSL_CERT_FILE` adds authorities."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


async def _connect_lane(path: str, idle: list[Connection]) -> Connection:
    """Who listens there is a process of ours: where it is not there it is about to be, the first time or again."""
    while True:
        try:
            made = await asyncio.get_running_loop().create_unix_connection(lambda: Connection(idle), path)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            return made[1]


async def _exchange(connection: Connection, head: bytes, body: bytes, until: float) -> None:
    try:
        await connection.request(head, body, until)
    except BaseException:  # also when the call was cancelled: the answer may still come
        connection.abort()
        raise


def write_head(base: str, path: str, headers: Mapping[str, str], method: str = "POST") -> bytes:
    """The head of a Request."""
    host = "localhost" if base.startswith("unix:") else urlsplit(base).netloc
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", "accept-encoding: identity"]
    lines += (f"{name}: {value}" for name, value in headers.items())
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
