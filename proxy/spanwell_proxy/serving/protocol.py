"""uvicorn's HTTP, with answers that leave in one piece.

It writes an answer's head and its body one after the other, and a write is a system call that wakes whoever reads: a
tenth of all that a call costs.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HELD_BYTES: Final = 16 * 1024


class Gathering:
    """A transport that hands over at the end of a turn of the loop what was written during it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._call_soon(self._flush)
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MOST_HELD_BYTES:  # it is for the transport to say when a client reads too slowly
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts, self._held_bytes = self._parts, [], 0
            self._transport.write(b"".join(parts))


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathering = Gathering(cast(asyncio.Transport, transport))  # uvloop's own class, of the same methods
        super().connection_made(cast(asyncio.Transport, gathering))
