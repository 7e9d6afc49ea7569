"""Keeps the calls in the store stitched: looks at the traces that were touched, and writes what has to be corrected.

Pass after pass, on one thread. Nothing is asked for twice of traffic that needs no stitching. What was received in the
hour before a start is looked at again, so no place has to be kept on the disk.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from spanwell_collector.calls.facts import Correction, SpanFacts, TraceKey
from spanwell_collector.calls.loading import (
    MOST_TOUCHED,
    Times,
    list_partners,
    list_touched,
    load_spans,
)
from spanwell_collector.calls.stitch import LooseEnds, stitch
from spanwell_collector.calls.writing import apply_corrections, list_hours
from spanwell_collector.rollups.changes import mark_changed
from spanwell_collector.store.client import Store

logger = logging.getLogger("spanwell.collector")

LOOK_BACK_MS: Final = 3_600_000  # at a start
OVERLAP_MS: Final = 10_000  # a row is stamped before it can be seen
SETTLE_MS: Final = 1_000  # and its texts are written after it
BATCH_TRACES: Final = 200
PASS_SECONDS: Final = 1.0  # what is left then waits for the next pass
MOST_PARTNERS: Final = 500
PARTNER_ROUNDS: Final = 3
WATCH_SECONDS: Final = 600.0
MOST_WATCHED: Final = 5_000
WAIT_SECONDS: Final = 61.0
HOUR_US: Final = 3_600_000_000


class Watch:
    """Names to look out for: each for some minutes, and no more of them than a question can carry."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, names: Iterable[str], now: float) -> None:
        for name in sorted(names):
            self._until.pop(name, None)
            self._until[name] = now + WATCH_SECONDS
        for name in list(self._until)[:-MOST_WATCHED]:
            del self._until[name]

    def list(self, now: float) -> list[str]:
        self._until = {name: until for name, until in self._until.items() if until > now}
        return sorted(self._until)


class Stitcher:
    """`run_pass` brings the store one step further; it is called by one thread."""

    def __init__(self, store: Store, *, settle_ms: int = SETTLE_MS, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._settle_ms = settle_ms
        self._clock = clock
        self._since_ms = store.read_clock_ms() - LOOK_BACK_MS
        self._seen: dict[TraceKey, frozenset[str]] = {}
        self._backlog: dict[TraceKey, Times] = {}
        self._waiting: dict[TraceKey, tuple[float, Times]] = {}
        self._traces = Watch()
        self._responses = Watch()

    def run_pass(self) -> int:
        """Stitch what was touched since the last pass; how many spans were corrected. Raises StoreError."""
        self._find_work()
        begun, corrected = time.monotonic(), 0
        while self._backlog and time.monotonic() - begun < PASS_SECONDS:
            some = dict(islice(self._backlog.items(), BATCH_TRACES))
            corrected += self._stitch(some)
            for trace in some:
                del self._backlog[trace]
        return corrected

    def _find_work(self) -> None:
        now, until_ms = self._clock(), self._store.read_clock_ms() - self._settle_ms
        watched = {"traces": self._traces.list(now), "responses": self._responses.list(now)}
        touched = list_touched(self._store, self._since_ms, until_ms, **watched)
        due = {trace: times for trace, (moment, times) in self._waiting.items() if moment <= now}
        for trace in due:
            del self._waiting[trace]
        self._backlog |= due
        self._backlog |= {
            one.trace: one.times for one in touched if one.span_ids - self._seen.get(one.trace, frozenset())
        }
        self._seen = {one.trace: one.span_ids for one in touched}
        reached_ms = touched[-1].received_ms if len(touched) == MOST_TOUCHED else until_ms
        self._since_ms = max(self._since_ms, reached_ms - OVERLAP_MS)

    def _stitch(self, traces: dict[TraceKey, Times]) -> int:
        spans, settled = self._load(traces)
        done = stitch(spans)
        corrections = [one for one in done.corrections if one.span.trace in settled]
        self._mark_hours(corrections)  # before too: a correction that is cut off is not found again
        apply_corrections(self._store, corrections)
        self._mark_hours(corrections)
        self._look_out(done.loose, spans)
        return len(corrections)

    def _load(self, traces: dict[TraceKey, Times]) -> tuple[list[SpanFacts], set[TraceKey]]:
        """The traces with those that tell of the same calls, and of which of them all is known."""
        spans, settled = load_spans(self._store, traces), set(traces)
        others: dict[TraceKey, Times] = {}
        for _ in range(PARTNER_ROUNDS):
            found = list_partners(self._store, spans, limit=MOST_PARTNERS)
            others = {trace: times for trace, times in found.items() if trace not in settled}
            if not others:
                break
            spans += load_spans(self._store, others)
            settled |= others.keys()
        return spans, settled - others.keys()

    def _mark_hours(self, corrections: Iterable[Correction]) -> None:
        this_hour = datetime.fromtimestamp(self._clock() // 3600 * 3600, UTC)
        for project, moments in list_hours(corrections).items():
            mark_changed(self._store, project, [moment for moment in moments if moment < this_hour])

    def _look_out(self, loose: LooseEnds, spans: Iterable[SpanFacts]) -> None:
        now = self._clock()
        self._traces.add((trace_id for _, trace_id in loose.traces), now)
        self._responses.add(loose.responses, now)
        for span in spans:
            if span.trace in loose.waiting:
                self._waiting.setdefault(span.trace, (now + WAIT_SECONDS, Times(span.ts_us, span.ts_us)))
