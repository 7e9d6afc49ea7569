"""Accepts batches onto the disk: one thread owns the spool, writes what waits and syncs once for all of it.

A batch is acknowledged when its future resolves, and from then on it survives the process and the machine. Sealed
segments go to the writer; what becomes of them there is not this module's business.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from spanwell.errors import SpoolFullError
from spanwell.spool import Segment, Spool
from spanwell_collector import telemetry
from spanwell_collector.store.client import digest_batch

logger = logging.getLogger("spanwell.collector")

DISK_PAUSE_SECONDS: Final = 1.0
SEGMENT_BYTES: Final = 8 << 20  # what the engine parses in well under a second
MAX_REMEMBERED: Final = 100_000  # batches; at two a second and producer, hours


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
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._writing: dict[bytes, asyncio.Future[None]] = {}
        self._seal_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="journal")

    @property
    def size_bytes(self) -> int:
        """Bytes on disk that the engine does not hold yet."""
        return self._spool.size_bytes

    def start(self, accepted: Iterable[bytes]) -> None:
        """Deliver what an earlier process left, then begin to accept. `accepted` are digests the store knows."""
        for digest in accepted:
            self._remember(digest)
        for segment in self._spool.sealed():
            for payload in segment.payloads():
                self._remember(digest_batch(payload))
            self._deliver(segment)
        self._thread.start()

    async def write(self, payload: bytes) -> None:
        """Return when `payload` is on the disk. Raises SpoolFullError when it cannot be; nothing of it is kept then.

        A payload that was accepted before, and is sent again because its answer got lost, changes nothing.
        """
        digest = digest_batch(payload)
        if digest in self._accepted:
            telemetry.RESENT_BATCHES.inc()
            return
        done = self._writing.get(digest)
        if done is None:
            done = self._writing[digest] = asyncio.get_running_loop().create_future()
            done.add_done_callback(lambda done: self._settle(digest, done))
            self._inbox.put(_Batch(payload, done))
        await asyncio.shield(done)

    def _settle(self, digest: bytes, done: asyncio.Future[None]) -> None:
        del self._writing[digest]
        if done.exception() is None:
            self._remember(digest)

    def _remember(self, digest: bytes) -> None:
        self._accepted[digest] = None
        if len(self._accepted) > MAX_REMEMBERED:
            self._accepted.popitem(last=False)

    def forget(self, segment: Segment) -> None:
        """Called by the writer: the engine holds `segment`."""
        self._inbox.put(_Stored(segment))

    def seal(self) -> None:
        """Stop accepting and deliver what is open."""
        self._inbox.put(_Stop())
        self._thread.join()

    def close(self) -> None:
        """Remove what the writer has stored since `seal`."""
        self._remove([message for message in self._take_waiting() if isinstance(message, _Stored)])

    def _run(self) -> None:
        stopped = False
        while not stopped:
            messages = self._take()
            self._remove([message for message in messages if isinstance(message, _Stored)])
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
        return messages + self._take_waiting()

    def _take_waiting(self) -> list[_Batch | _Stored | _Stop]:
        messages = []
        while not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        return messages

    def _remove(self, stored: list[_Stored]) -> None:
        for message in stored:
            self._spool.remove(message.segment)

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
        try:
            segment = self._spool.seal()
        except SpoolFullError:
            logger.exception("the disk failed a segment that was synced before")
            self._seal_at = time.monotonic() + DISK_PAUSE_SECONDS
            return
        if segment is not None:
            self._deliver(segment)


def _answer(batch: _Batch, error: SpoolFullError | None) -> None:
    def settle() -> None:
        if error is None:
            batch.done.set_result(None)
        else:
            batch.done.set_exception(error)

    batch.done.get_loop().call_soon_threadsafe(settle)
