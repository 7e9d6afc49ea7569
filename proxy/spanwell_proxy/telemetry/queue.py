"""Finished calls become spans. The request path only appends to a bounded queue; a task behind it encodes batches."""

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress

from spanwell import conventions as c
from spanwell.errors import SpoolFullError
from spanwell_proxy.call import Call
from spanwell_proxy.telemetry import metrics
from spanwell_proxy.telemetry.otlp import Value
from spanwell_proxy.telemetry.outbox import Outbox
from spanwell_proxy.telemetry.spans import Batch, count_spans
from spanwell_proxy.telemetry.tally import Tally
from spanwell_proxy.telemetry.texts import KeepText

logger = logging.getLogger(__name__)

SERVICE = "spanwell-proxy"
MAX_QUEUED = 50_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
BATCH_CALLS = 256
BATCH_BYTES = 4 * 1024 * 1024
SLICE_CALLS = 4  # encoded before calls get their turn again: a quarter of a millisecond
SLICE_SHARE = 50  # one in so many of those that wait comes on top, so that the queue shrinks under any load
TICK_S = 0.25  # a batch costs about as much as a hundred calls, whatever is in it: milliseconds


class Telemetry:
    """One producer: it numbers its spans, so that the store can prove that none is missing.

    Without an outbox it makes no spans, and counts calls for the metrics alone.
    """

    def __init__(self, outbox: Outbox | None, *, worker: int, project: str, keep_text: KeepText | None) -> None:
        self.dropped = 0
        self._outbox = outbox
        self._keep_text = keep_text
        self._tally = Tally()
        self._queue: deque[Call] = deque()
        self._queued_bytes = 0
        self._written = 0
        self._dropped_shown = 0
        self._stopping = False
        self._hurry = asyncio.Event()
        self._resource: dict[str, Value] = {
            c.SERVICE_NAME: SERVICE,
            c.SERVICE_INSTANCE_ID: f"{SERVICE}-{worker}-{secrets.token_hex(6)}",
            c.PROJECT: project,
        }

    def put(self, call: Call) -> None:
        """Take a finished call, or count it as dropped. Never waits."""
        if self._outbox is None:
            self._tally.count(call)
            return
        size = call.size_bytes
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES:
            self.dropped += count_spans(call)
            return
        self._queued_bytes += size
        self._queue.append(call)
        if len(self._queue) == BATCH_CALLS:
            self._hurry.set()

    async def run(self) -> None:
        """Write what was queued, tick after tick, until `stop`. Never cancel it: a batch half made would be lost."""
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), TICK_S)
            self._hurry.clear()
            await self._flush()
        await self._flush()

    def stop(self) -> None:
        """Let `run` end, once it has written everything that was put before."""
        self._stopping = True
        self._hurry.set()

    async def _flush(self) -> None:
        if self._outbox:
            await self._write(self._outbox)
        self._tally.flush()
        metrics.DROPPED.inc(self.dropped - self._dropped_shown)
        self._dropped_shown = self.dropped

    async def _write(self, outbox: Outbox) -> None:
        """What the queue holds now; what comes meanwhile waits, so that batches stay large."""
        waiting = len(self._queue)
        while waiting > 0:
            waiting -= await self._write_batch(outbox, min(waiting, BATCH_CALLS))
        metrics.QUEUED.set(len(self._queue))
        metrics.SPOOLED.set(outbox.size_bytes)

    async def _write_batch(self, outbox: Outbox, most: int) -> int:
        batch, size = Batch(), 0
        slice_calls = SLICE_CALLS + len(self._queue) // SLICE_SHARE
        taken = 0
        while taken < most and size < BATCH_BYTES:
            call = self._queue.popleft()
            taken += 1
            size += call.size_bytes
            self._tally.count(call)
            if not batch.add(call, keep_text=self._keep_text):
                self.dropped += count_spans(call)
            if taken % slice_calls == 0:
                await asyncio.sleep(0)
        self._queued_bytes -= size
        ledger = {c.BATCH_FIRST: self._written, c.BATCH_SPANS: len(batch), c.BATCH_DROPPED: self.dropped}
        try:
            await outbox.append(batch.encode(self._resource | ledger))
            self._written += len(batch)
        except SpoolFullError as error:
            self.dropped += len(batch)
            logger.error("dropped %d spans: %s", len(batch), error)
        return taken
