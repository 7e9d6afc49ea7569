"""Moves sealed segments into the engine, in order, on a thread of its own.

A store that is away is asked again until it answers. A segment that the engine refuses is halved until the record at
fault stands alone, and that one span by span: what is still refused becomes a dead letter, so that it never holds back
the rest. Of a segment that an earlier process left some rows may be stored: they are taken out before all are put in.
"""

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from spanwell.errors import QueryError, StoreError
from spanwell.spool import Segment
from spanwell_collector import telemetry
from spanwell_collector.ingest.ledger import LedgerRow, reject
from spanwell_collector.ingest.spans import split_record

logger = logging.getLogger("spanwell.collector")

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 15.0
STOP_SECONDS: Final = 5.0  # after `close` in which inserts are still begun


class Target(Protocol):
    """Where records go. What is refused for good raises QueryError, what may pass StoreError."""

    def insert(self, records: Sequence[bytes], token: str) -> list[LedgerRow]: ...
    def count(self, record: bytes) -> list[LedgerRow]: ...
    def note(self, rows: Sequence[LedgerRow], token: str) -> None: ...
    def erase(self, records: Sequence[bytes]) -> None: ...
    def bury(self, record: bytes, reason: str) -> None: ...


class Writer:
    """Inserts segments one after another.

    `stored` is called with each segment the engine holds and the seconds it took. `left` are an earlier process's.
    """

    def __init__(self, target: Target, *, left: Iterable[Segment], stored: Callable[[Segment, float], None]) -> None:
        self._target = target
        self._half_stored = set(left)
        self._token_mark = secrets.token_hex(4)
        self._stored = stored
        self._inbox: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        self._thread.start()

    def put(self, segment: Segment) -> None:
        self._inbox.put(segment)

    def close(self) -> None:
        """Insert what is queued, trying each segment once, as far as the time goes; the rest stays on the disk."""
        self._stop_at = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (segment := self._inbox.get()) is not None and time.monotonic() < self._stop_at:
            begun = time.perf_counter()
            if self._store_segment(segment):
                seconds = time.perf_counter() - begun
                telemetry.INSERT_SECONDS.observe(seconds)
                self._stored(segment, seconds)

    def _store_segment(self, segment: Segment) -> bool:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._insert_segment(segment)
            except (StoreError, OSError) as error:
                if not segment.path.exists():
                    logger.error("segment %s is gone: somebody has removed it", segment.path)
                    return True
                telemetry.STORE_ERRORS.inc()
                logger.warning("segment %s is not stored yet: %s", segment.id, error)
                if self._stopping.wait(pause):
                    return False
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                return True

    def _insert_segment(self, segment: Segment) -> None:
        records = segment.payloads()
        if segment in self._half_stored:
            self._take_out(records)
        token = f"{segment.id}:{self._token_mark}"
        try:
            rows = self._target.insert(records, token)
        except QueryError as error:
            logger.warning("segment %s was refused, its %d records are parted: %s", segment.id, len(records), error)
            self._half_stored.add(segment)
            self._take_out(records)
            token = f"{segment.id}:{self._token_mark}"
            rows = self._insert_parted(records, f"{token}:")
        self._target.note(rows, token)
        self._half_stored.discard(segment)
        if lost := segment.count_lost(records):
            telemetry.DAMAGED_BYTES.inc(lost)
            logger.error("%d bytes of %s were damaged while it waited: *.damaged beside it", lost, segment.path)
            segment.keep_damaged()

    def _take_out(self, records: Sequence[bytes]) -> None:
        self._target.erase(records)
        self._token_mark = secrets.token_hex(4)  # the engine would skip what it once took under the same token

    def _insert_parted(self, records: Sequence[bytes], token: str) -> list[LedgerRow]:
        """Each half under a token of its own; the path to it is in the token."""
        if len(records) < 2:
            return [row for record in records for row in self._insert_record(record, token)]
        middle = len(records) // 2
        halves = (records[:middle], f"{token}0"), (records[middle:], f"{token}1")
        return [row for half, path in halves for row in self._insert_or_part(half, path)]

    def _insert_or_part(self, records: Sequence[bytes], token: str) -> list[LedgerRow]:
        try:
            return self._target.insert(records, token)
        except QueryError:
            self._target.erase(records)
            return self._insert_parted(records, token)

    def _insert_record(self, record: bytes, token: str) -> list[LedgerRow]:
        """Span by span. What is refused at last is buried, and counted as rejected."""
        pieces = list(split_record(record))
        if not pieces:
            self._target.bury(record, "the engine refused it")
            return self._target.count(record)
        rows = self._target.count(record)
        for piece in self._bury_refused(pieces, token):
            rows = reject(rows, self._target.count(piece))
        return rows

    def _bury_refused(self, pieces: Sequence[bytes], token: str) -> list[bytes]:
        try:
            self._target.insert(pieces, token)
        except QueryError as error:
            self._target.erase(pieces)
            if len(pieces) == 1:
                self._target.bury(pieces[0], str(error))
                return list(pieces)
            middle = len(pieces) // 2
            return self._bury_refused(pieces[:middle], f"{token}0") + self._bury_refused(pieces[middle:], f"{token}1")
        return []
