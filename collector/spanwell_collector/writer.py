"""Moves sealed segments into the engine, in order, on a thread of its own.

A store that is away is asked again until it answers. A segment that the engine refuses is taken apart, and the record
at fault is put aside in the dead directory, so that one bad batch never holds back the rest. Of a segment that an
earlier process left, some rows may be stored: they are taken out before all of them are put in.
"""

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from spanwell.errors import QueryError, StoreError
from spanwell.spool import Segment
from spanwell_collector import telemetry

logger = logging.getLogger("spanwell.collector")

Insert = Callable[[Sequence[bytes], str], None]
Erase = Callable[[Sequence[bytes]], None]

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 15.0


class Writer:
    """Inserts segments one after another; `stored` is called with each segment the engine holds.

    `insert` takes batches and their token. It raises QueryError when it refuses them for good, StoreError when not.
    `erase` takes batches, and their rows out. `left` are the segments of an earlier process.
    """

    def __init__(
        self,
        insert: Insert,
        *,
        erase: Erase,
        left: Iterable[Segment],
        dead: Path,
        stored: Callable[[Segment], None],
    ) -> None:
        self._insert = insert
        self._erase = erase
        self._left = frozenset(left)
        self._token_mark = secrets.token_hex(4)
        self._dead = dead
        self._stored = stored
        self._inbox: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        self._thread.start()

    def put(self, segment: Segment) -> None:
        self._inbox.put(segment)

    def close(self) -> None:
        """Insert what is queued, trying each segment once; what the store does not take stays on the disk."""
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (segment := self._inbox.get()) is not None:
            if self._store_segment(segment):
                self._stored(segment)

    def _store_segment(self, segment: Segment) -> bool:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._insert_segment(segment)
            except (StoreError, OSError) as error:
                telemetry.STORE_ERRORS.inc()
                logger.warning("segment %s is not stored yet: %s", segment.id, error)
                if self._stopping.wait(pause):
                    return False
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                return True

    def _insert_segment(self, segment: Segment) -> None:
        payloads = segment.payloads()
        begun = time.perf_counter()
        if segment in self._left:
            self._take_out(payloads)
        try:
            self._insert(payloads, f"{segment.id}:{self._token_mark}")
        except QueryError as error:
            logger.warning(
                "segment %s was refused, its %d records follow one by one: %s", segment.id, len(payloads), error
            )
            self._take_out(payloads)
            for index, payload in enumerate(payloads):
                self._insert_record(payload, f"{segment.id}:{self._token_mark}:{index}")
        telemetry.INSERT_SECONDS.observe(time.perf_counter() - begun)

    def _take_out(self, payloads: Sequence[bytes]) -> None:
        self._erase(payloads)
        self._token_mark = secrets.token_hex(4)  # the engine would skip what it once took under the same token

    def _insert_record(self, payload: bytes, token: str) -> None:
        try:
            self._insert([payload], token)
        except QueryError as error:
            self._dead.mkdir(parents=True, exist_ok=True)
            path = self._dead / f"{token.replace(':', '-')}.otlp"
            path.write_bytes(payload)
            telemetry.DEAD_RECORDS.inc()
            logger.error("the engine refused a record, kept in %s: %s", path, error)
