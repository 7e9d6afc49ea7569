"""Keeps the calls in the store stitched: looks at the traces that were touched, and writes what has to be corrected.

Pass after pass, on one thread. Nothing is asked for twice of traffic that needs no stitching. What was received in the
hour before a start is looked at again, so no place has to be kept on the disk. Where spans come faster than they are
stitched, reading waits: what is held in memory does not grow.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from spanwell.errors import QueryError
from spanwell_collector.calls.facts import Correction, SpanFacts, TraceKey
from spanwell_collector.calls.links import SHORTEST_ID
from spanwell_collector.calls.loading import (
    LONGEST_ID,
    MOST_TOUCHED,
    Place,
    Times,
    Touched,
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
SHORTEST_STRETCH_MS: Final = 30_000  # of what was received, read again for each page of it
SETTLE_MS: Final = 1_000  # and its texts are written after it
BATCH_TRACES: Final = 200
PASS_SECONDS: Final = 1.0  # what is left then waits for the next pass
MOST_PARTNERS: Final = 500
PARTNER_ROUNDS: Final = 3
WATCH_SECONDS: Final = 600.0
MOST_WATCHED: Final = 5_000
WAIT_SECONDS: Final = 61.0
HOUR_MS: Final = 3_600_000


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
        self._until_ms = self._since_ms
        self._after = Place()
        self._stretch_ms = SHORTEST_STRETCH_MS
        self._met: dict[TraceKey, Touched] = {}
        self._seen: dict[TraceKey, frozenset[str]] = {}
        self._has_more = True
        self._batch = BATCH_TRACES
        self._backlog: dict[TraceKey, Times] = {}
        self._waiting: dict[TraceKey, tuple[float, Times]] = {}
        self._traces = Watch()
        self._responses = Watch()

    @property
    def is_behind(self) -> bool:
        """Whether the last pass has left something to do."""
        return self._has_more or bool(self._backlog)

    def run_pass(self) -> int:
        """Stitch what was touched since the last pass; how many spans were corrected. Raises StoreError."""
        begun, corrected = time.monotonic(), 0
        self._take_due()
        self._has_more = True
        while self.is_behind and time.monotonic() - begun < PASS_SECONDS:
            if self._backlog:
                corrected += self._stitch_some()
            else:
                self._has_more = self._read_page()
        return corrected

    def _take_due(self) -> None:
        now = self._clock()
        for trace in [trace for trace, (moment, _) in self._waiting.items() if moment <= now]:
            self._backlog[trace] = self._waiting.pop(trace)[1]

    def _read_page(self) -> bool:
        """Find what was touched, from where the last page ended; whether there is more."""
        now, until_ms = self._clock(), self._store.read_clock_ms() - self._settle_ms
        if self._after == Place():
            self._until_ms = min(until_ms, self._since_ms + self._stretch_ms)
        watched = {"traces": self._traces.list(now), "responses": self._responses.list(now)}
        touched = list_touched(self._store, self._since_ms, self._until_ms, self._after, **watched)
        self._backlog |= {
            one.trace: one.times for one in touched if one.span_ids - self._seen.get(one.trace, frozenset())
        }
        self._met |= {one.trace: one for one in touched}
        if len(touched) == MOST_TOUCHED:
            self._after, self._stretch_ms = touched[-1].place, max(self._stretch_ms // 2, SHORTEST_STRETCH_MS)
            return True
        self._end_stretch()
        return self._until_ms < until_ms

    def _end_stretch(self) -> None:
        self._after, self._stretch_ms = Place(), min(2 * self._stretch_ms, LOOK_BACK_MS)
        self._since_ms = max(self._since_ms, self._until_ms - OVERLAP_MS)
        self._seen = {trace: one.span_ids for trace, one in self._met.items() if one.received_ms > self._since_ms}
        self._met = {}

    def _stitch_some(self) -> int:
        """The next of the backlog. What the engine refuses is tried in ever smaller parts, and at last left alone."""
        some = dict(islice(self._backlog.items(), self._batch))
        try:
            corrected, left = self._stitch(some)
        except QueryError as error:
            if len(some) > 1:
                self._batch = len(some) // 2
                return 0
            logger.warning("trace %s is left as it came: %s", *(trace_id for _, trace_id in some), error)
            corrected, left = 0, {}
        self._batch = min(2 * self._batch, BATCH_TRACES)
        for trace in some.keys() - left.keys():
            del self._backlog[trace]
        return corrected

    def _stitch(self, traces: dict[TraceKey, Times]) -> tuple[int, dict[TraceKey, Times]]:
        """How many spans were corrected, and which traces there was no room for."""
        spans, settled, left = self._load(traces)
        done = stitch(spans)
        corrections = [one for one in done.corrections if one.span.trace in settled]
        self._mark_hours(corrections)  # first: a correction that was made is not found again
        apply_corrections(self._store, corrections)
        self._look_out(done.loose, spans)
        return len(corrections), left

    def _load(self, traces: dict[TraceKey, Times]) -> tuple[list[SpanFacts], set[TraceKey], dict[TraceKey, Times]]:
        """The traces with those that tell of the same calls, of which of them all is known, and what is left."""
        spans, left = load_spans(self._store, traces)
        settled = traces.keys() - left.keys()
        others: dict[TraceKey, Times] = {}
        for _ in range(PARTNER_ROUNDS):
            found = list_partners(self._store, spans, limit=MOST_PARTNERS)
            others = {trace: times for trace, times in found.items() if trace not in settled}
            if not others:
                break
            more, without_room = load_spans(self._store, others)
            spans += more
            settled |= others.keys() - without_room.keys()
        return spans, settled - others.keys(), left

    def _mark_hours(self, corrections: Iterable[Correction]) -> None:
        """Hours that are not over are summed later, with what is corrected now."""
        this_hour = datetime.fromtimestamp(self._until_ms // HOUR_MS * 3600, UTC)
        for project, moments in list_hours(corrections).items():
            mark_changed(self._store, project, [moment for moment in moments if moment < this_hour])

    def _look_out(self, loose: LooseEnds, spans: Iterable[SpanFacts]) -> None:
        now = self._clock()
        self._traces.add((trace_id for _, trace_id in loose.traces), now)
        self._responses.add((one for one in loose.responses if SHORTEST_ID <= len(one) <= LONGEST_ID), now)
        for span in spans:
            if span.trace in loose.waiting:
                self._waiting.setdefault(span.trace, (now + WAIT_SECONDS, Times(span.ts_us, span.ts_us)))
