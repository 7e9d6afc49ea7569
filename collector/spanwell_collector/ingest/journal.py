"""Accepts records onto the disk: one thread owns the spool, writes what waits and syncs once for all of it.

A record is acknowledged when its future resolves. With `strict` durability it has been synced then and survives the
machine; with `interval` it survives the process at once, and the machine after a second. Sealed segments go to the
writer; what becomes of them there is not this module's business.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from spanwell.errors import SpoolFullError
from spanwell.settings import Durability
from spanwell.spool import Segment, Spool
from spanwell_collector import telemetry
from spanwell_collector.ingest.flush import Inserted, choose_seal_time, is_full
from spanwell_collector.store.client import digest_batch

logger = logging.getLogger("spanwell.collector")

DISK_PAUSE_SECONDS: Final = 1.0
SYNC_SECONDS: Final = 1.0  # of `interval` durability
MAX_REMEMBERED: Final = 100_000  # records; at two a second and producer, hours
NEVER: Final = float("inf")


class _Append(NamedTuple):
    record: bytes
    items: int
    done: asyncio.Future[None]


class _Stored(NamedTuple):
    segment: Segment
    seconds: float


class _Stop(NamedTuple):
    pass


class Journal:
    """Group commit in front of `spool`. `deliver` is called, in order, with each sealed segment."""

    def __init__(
        self,
        spool: Spool,
        *,
        flush_seconds: float,
        deliver: Callable[[Segment], None],
        durability: Durability = "strict",
    ) -> None:
        self._spool = spool
        self._flush_seconds = flush_seconds
        self._deliver = deliver
        self._is_strict = durability == "strict"
        self._inbox: queue.SimpleQueue[_Append | _Stored | _Stop] = queue.SimpleQueue()
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._writing: dict[bytes, asyncio.Future[None]] = {}
        self._delivered = 0  # segments the writer has and the engine not yet
        self._last = Inserted(0.0, 0.0)
        self._open_items = 0
        self._opened_at = NEVER
        self._sync_at = NEVER
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
            for record in segment.payloads():
                self._remember(digest_batch(record))
            self._hand_on(segment)
        self._thread.start()

    async def write(self, record: bytes, items: int = 1) -> None:
        """Return when `record` is on the disk. Raises SpoolFullError when it cannot be; nothing of it is kept then.

        A record that was accepted before, and is sent again because its answer got lost, changes nothing.
        """
        digest = digest_batch(record)
        if digest in self._accepted:
            telemetry.RESENT_BATCHES.inc()
            return
        done = self._writing.get(digest)
        if done is None:
            done = self._writing[digest] = asyncio.get_running_loop().create_future()
            done.add_done_callback(lambda done: self._settle(digest, done))
            self._inbox.put(_Append(record, items, done))
        await asyncio.shield(done)

    def _settle(self, digest: bytes, done: asyncio.Future[None]) -> None:
        del self._writing[digest]
        if done.exception() is None:
            self._remember(digest)

    def _remember(self, digest: bytes) -> None:
        self._accepted[digest] = None
        if len(self._accepted) > MAX_REMEMBERED:
            self._accepted.popitem(last=False)

    def forget(self, segment: Segment, seconds: float = 0.0) -> None:
        """Called by the writer: the engine holds `segment`, and took `seconds` of a core to take it."""
        self._inbox.put(_Stored(segment, seconds))

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
            self._commit([message for message in messages if isinstance(message, _Append)])
            stopped = any(isinstance(message, _Stop) for message in messages)
            if stopped or time.monotonic() >= self._seal_at() or is_full(self._spool.open_bytes, self._open_items):
                self._seal()
            elif time.monotonic() >= self._sync_at:
                self._sync()

    def _seal_at(self) -> float:
        """While the writer is busy a segment grows: it would only wait behind the others."""
        if self._opened_at == NEVER or self._delivered:
            return NEVER
        return choose_seal_time(self._opened_at, self._flush_seconds, self._last)

    def _take(self) -> list[_Append | _Stored | _Stop]:
        """Everything that waits now; blocks until something does or a segment is due."""
        due_at = min(self._seal_at(), self._sync_at)
        try:
            messages = [self._inbox.get(timeout=None if due_at == NEVER else max(0.0, due_at - time.monotonic()))]
        except queue.Empty:
            return []
        return messages + self._take_waiting()

    def _take_waiting(self) -> list[_Append | _Stored | _Stop]:
        messages = []
        while not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        return messages

    def _remove(self, stored: list[_Stored]) -> None:
        for message in stored:
            self._spool.remove(message.segment)
            self._delivered -= 1
            self._last = Inserted(time.monotonic(), message.seconds)

    def _commit(self, batches: list[_Append]) -> None:
        written = []
        for batch in batches:
            try:
                self._spool.append(batch.record)
            except SpoolFullError as error:
                _answer([batch], error)
            else:
                written.append(batch)
        if not written:
            return
        if self._is_strict:
            try:
                self._spool.sync()
            except SpoolFullError as error:
                _answer(written, error)
                return
        else:
            self._sync_at = min(self._sync_at, time.monotonic() + SYNC_SECONDS)
        self._open_items += sum(batch.items for batch in written)
        self._opened_at = min(self._opened_at, time.monotonic())
        _answer(written, None)

    def _sync(self) -> None:
        self._sync_at = NEVER
        try:
            self._spool.sync()
        except SpoolFullError:
            logger.exception("the disk failed records of the last second, which were acknowledged: they are lost")

    def _seal(self) -> None:
        self._sync()
        self._opened_at = NEVER
        try:
            segment = self._spool.seal()
        except SpoolFullError:
            logger.exception("the disk failed a segment that was synced before")
            self._opened_at = time.monotonic() + DISK_PAUSE_SECONDS
            return
        self._open_items = 0
        if segment is not None:
            self._hand_on(segment)

    def _hand_on(self, segment: Segment) -> None:
        self._delivered += 1
        self._deliver(segment)


def _answer(batches: Sequence[_Append], error: SpoolFullError | None) -> None:
    """One call into the loop for all that were waiting."""

    def settle() -> None:
        for batch in batches:
            if error is None:
                batch.done.set_result(None)
            else:
                batch.done.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop has ended, and all who waited there with it
        batches[0].done.get_loop().call_soon_threadsafe(settle)
