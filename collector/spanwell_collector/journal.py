"""Accepts batches onto the disk: one thread owns the spool, writes what waits and syncs once for all of it.

A batch is acknowledged when its future resolves, and from then on it survives the process and the machine. Sealed
segments go to the writer; what becomes of them there is not this module's business.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from spanwell.errors import SpoolFullError
from spanwell.spool import Segment, Spool

logger = logging.getLogger("spanwell.collector")

SEGMENT_BYTES: Final = 8 << 20  # what the engine parses in well under a second
MAX_WAITING_BYTES: Final = 128 << 20  # accepted from sockets, not yet on disk


class _Batch(NamedTuple):
    payload: bytes
    done: asyncio.Future[None]


class _Stored(NamedTuple):
    segment: Segment


class _Stop(NamedTuple):
    pass


class Journal:
    """Group commit in front of `spool`. `deliver` is called, in order, with each sealed segment."""

    def __init__(self, spool: Spool, *, flush_seconds: float, deliver: Callable[[Segment], None]) -> None:
        self._spool = spool
        self._flush_seconds = flush_seconds
        self._deliver = deliver
        self._inbox: queue.SimpleQueue[_Batch | _Stored | _Stop] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._seal_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="journal")

    @property
    def size_bytes(self) -> int:
        """Bytes on disk that the engine does not hold yet."""
        return self._spool.size_bytes

    def start(self) -> None:
        """Deliver what an earlier process left, then begin to accept."""
        for segment in self._spool.sealed():
            self._deliver(segment)
        self._thread.start()

    async def write(self, payload: bytes) -> None:
        """Return when `payload` is on the disk. Raises SpoolFullError when it cannot be; nothing of it is kept then."""
        if self._waiting_bytes + len(payload) > MAX_WAITING_BYTES:
            raise SpoolFullError("too many batches are waiting for the disk")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_bytes += len(payload)
        self._inbox.put(_Batch(payload, done))
        try:
            await done
        finally:
            self._waiting_bytes -= len(payload)

    def forget(self, segment: Segment) -> None:
        """Called by the writer: the engine holds `segment`."""
        self._inbox.put(_Stored(segment))

    def close(self) -> None:
        """Seal and deliver what is open. Segments forgotten later are removed at the next start."""
        self._inbox.put(_Stop())
        self._thread.join()

    def _run(self) -> None:
        stopped = False
        while not stopped:
            messages = self._take()
            for message in messages:
                if isinstance(message, _Stored):
                    self._spool.remove(message.segment)
            self._commit([message for message in messages if isinstance(message, _Batch)])
            stopped = any(isinstance(message, _Stop) for message in messages)
            if stopped or time.monotonic() >= self._seal_at or self._spool.open_bytes >= SEGMENT_BYTES:
                self._seal()

    def _take(self) -> list[_Batch | _Stored | _Stop]:
        """Everything that waits now; blocks until something does or a segment is due."""
        wait = None if self._seal_at == float("inf") else max(0.0, self._seal_at - time.monotonic())
        try:
            messages = [self._inbox.get(timeout=wait)]
        except queue.Empty:
            return []
        while not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        return messages

    def _commit(self, batches: list[_Batch]) -> None:
        written = []
        for batch in batches:
            try:
                self._spool.append(batch.payload)
            except SpoolFullError as error:
                _answer(batch, error)
            else:
                written.append(batch)
        if not written:
            return
        try:
            self._spool.sync()
        except SpoolFullError as error:
            for batch in written:
                _answer(batch, error)
            return
        for batch in written:
            _answer(batch, None)
        self._seal_at = min(self._seal_at, time.monotonic() + self._flush_seconds)

    def _seal(self) -> None:
        self._seal_at = float("inf")
        segment = self._spool.seal()
        if segment is not None:
            self._deliver(segment)


def _answer(batch: _Batch, error: SpoolFullError | None) -> None:
    def settle() -> None:
        if batch.done.cancelled():
            return
        if error is None:
            batch.done.set_result(None)
        else:
            batch.done.set_exception(error)

    batch.done.get_loop().call_soon_threadsafe(settle)
