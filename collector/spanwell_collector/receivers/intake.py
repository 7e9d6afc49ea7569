"""What every receiver does with a request: finds room for it, reads it, and has the journal keep it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from spanwell.errors import SpoolFullError
from spanwell_collector import telemetry
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.receivers.checks import Accepted, read_request
from spanwell_collector.receivers.inflate import inflate
from spanwell_collector.receivers.refusals import DEADLINE_EXCEEDED, UNAVAILABLE, Encoding, RefusedError
from spanwell_collector.receivers.signals import Signal

MAX_HELD_BYTES: Final = 256 << 20  # of requests, all together
ARRIVAL_SECONDS: Final = 60.0  # ten times as long as exporters wait for all of it
THREAD_FROM_BYTES: Final = 1 << 20  # below it a request is decoded before a thread would have started


class Room:
    """Bounds what all requests together hold in memory, and reads them within that."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._reading_large = asyncio.Semaphore(1)  # decoded, one takes up to twenty times its size

    def enter(self, size: int) -> None:
        """Raises RefusedError when there is no room; nothing is held then."""
        if self._held_bytes + size > self._max_bytes:
            raise RefusedError(UNAVAILABLE, "too many requests at once", http_status=429)
        self._held_bytes += size

    def leave(self, size: int) -> None:
        self._held_bytes -= size

    async def read(self, signal: Signal, body: bytes, compression: str, encoding: Encoding, project: str) -> Accepted:
        """Undo `compression` and read. What takes long is done on a thread. Raises RefusedError."""
        if not compression:
            return await self._read(signal, body, encoding, project)
        body = await asyncio.to_thread(inflate, body, compression)
        self.enter(len(body))
        try:
            return await self._read(signal, body, encoding, project)
        finally:
            self.leave(len(body))

    async def _read(self, signal: Signal, body: bytes, encoding: Encoding, project: str) -> Accepted:
        if len(body) < THREAD_FROM_BYTES:
            return read_request(signal, body, encoding, project)
        async with self._reading_large:
            return await asyncio.to_thread(read_request, signal, body, encoding, project)


@asynccontextmanager
async def arriving() -> AsyncIterator[None]:
    """Raises RefusedError when the block takes longer than an honest sender needs: a slow one holds memory."""
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            yield
    except TimeoutError:
        raise RefusedError(DEADLINE_EXCEEDED, f"the request did not arrive in {ARRIVAL_SECONDS:.0f} s") from None


async def keep(journal: Journal, signal: Signal, accepted: Accepted) -> None:
    """Return when it is on the disk. Raises RefusedError when it cannot be."""
    try:
        if accepted.items or accepted.rejected:
            await journal.write(accepted.record, accepted.items)
    except SpoolFullError as error:
        raise RefusedError(UNAVAILABLE, str(error)) from error
    telemetry.ITEMS_ACCEPTED.labels(signal.name).inc(accepted.items)
    telemetry.ITEMS_REJECTED.labels(signal.name).inc(accepted.rejected)
