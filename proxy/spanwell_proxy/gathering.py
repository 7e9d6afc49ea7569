"""Writes that belong together leave as one: a write is a system call, and wakes whoever reads."""

import asyncio
from typing import Any, Final

MOST_HELD_BYTES: Final = 16 * 1024


class Gathering:
    """A transport that hands over at the end of a turn of the loop what was written during it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes | memoryview] = []
        self._held_bytes = 0
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes | memoryview) -> None:
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
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
