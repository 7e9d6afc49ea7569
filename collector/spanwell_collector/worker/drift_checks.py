"""Checks every segment's prompts for drift: the last day once at the start, then the window that ends now.

The reference is the stretch of time right before the window, whatever it holds. After a lasting shift it slowly takes
the new topic in, and the alarm ends once that topic is the normal state: a check says that something changed, not that
it is bad. Live windows overlap, so one shift shows in many checks in a row: they are not independent evidence.
"""

import asyncio
import logging
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from typing import Any

from spanwell_collector.worker.client import CollectorClient, Span
from spanwell_collector.worker.drift import DriftResult, detect
from spanwell_collector.worker.drift_windows import (
    HISTORY,
    Sides,
    TimedPrompt,
    Window,
    has_enough,
    live_window,
    past_windows,
    prompt_of,
    sides_of,
)
from spanwell_collector.worker.schedule import Clock
from spanwell_collector.worker.sections import DriftSection

MOST_SEGMENTS = 20
MOST_PROMPTS = 10_000  # of one segment at a time; more traffic than that is thinned by whole traces
LATE = timedelta(minutes=5)  # spans may arrive that much after they began
SETTLED_AFTER = timedelta(minutes=10)  # from then on the past is taken as complete
GROWTH = 1.1  # a past window is checked again when late spans make it larger by that factor
SEED = 0
SEGMENT_CHARS = 200  # what the collector takes; a longer name is nobody's segment
WRITTEN = {"operation": ["chat", "text_completion"]}  # calls that carry a prompt in words

Prompts = dict[tuple[str, str], TimedPrompt]  # by (trace id, span id)

Check = tuple[str, datetime]  # segment, end of the window

logger = logging.getLogger(__name__)


class DriftWatch:
    """Checks the live window, and keeps the prompts between two checks: each asks only for what is new."""

    def __init__(self, collector: CollectorClient, section: DriftSection, clock: Clock) -> None:
        self._collector = collector
        self._section = section
        self._clock = clock
        self._prompts: dict[str, Prompts] = {}
        self._read_until: datetime | None = None
        self._checked: datetime | None = None

    async def check(self) -> None:
        window = live_window(self._clock(), self._section)
        if window.current.end == self._checked:
            return
        await self._read(Span(window.reference.start, window.current.end))
        sides = {segment: sides_of(window, prompts.values()) for segment, prompts in self._prompts.items()}
        await _check_window(self._collector, self._section, window, sides)
        self._checked = window.current.end

    async def _read(self, span: Span) -> None:
        since = span.start if self._read_until is None else max(span.start, self._read_until - LATE)
        for segment, requests in (await _segments(self._collector, self._section, span)).items():
            known = self._prompts.get(segment, {})
            unread = Span(since, span.end) if known else span
            self._prompts[segment] = known | await _fetch(self._collector, self._section, segment, unread, requests)
        self._prompts = {segment: _since(span.start, prompts) for segment, prompts in self._prompts.items()}
        self._read_until = span.end


class DriftHistory:
    """Checks the day before the start, so that there is a history at once; again while late spans still change it."""

    def __init__(self, collector: CollectorClient, section: DriftSection, clock: Clock) -> None:
        self._collector = collector
        self._section = section
        self._clock = clock
        self._started = clock()
        self._windows = past_windows(self._started, section)
        self._stored: set[Check] | None = None
        self._requests: dict[str, int] = {}
        self._sizes: dict[Check, int] = {}

    async def check(self) -> None:
        if self._clock() - self._started > SETTLED_AFTER:
            return
        span = Span(self._windows[-1].reference.start, self._windows[0].current.end)
        if self._stored is None:
            stored = await self._collector.drift_checks(Span(self._started - HISTORY, self._started))
            self._stored = {(check.segment, check.ts) for check in stored}
        segments = await _segments(self._collector, self._section, span)
        if segments == self._requests:
            return
        prompts = {
            segment: await _fetch(self._collector, self._section, segment, span, requests)
            for segment, requests in segments.items()
        }
        for window in self._windows:
            await self._check_window(window, prompts, self._stored)
        self._requests = segments

    async def _check_window(self, window: Window, prompts: Mapping[str, Prompts], stored: Container[Check]) -> None:
        sides = {segment: sides_of(window, items.values()) for segment, items in prompts.items()}
        sizes = {(segment, window.current.end): len(s.reference) + len(s.current) for segment, s in sides.items()}
        done = {
            check[0] for check, size in sizes.items() if check in stored or size <= GROWTH * self._sizes.get(check, 0)
        }
        checked = await _check_window(self._collector, self._section, window, sides, done)
        self._sizes |= {check: size for check, size in sizes.items() if check[0] in checked}


async def _check_window(
    collector: CollectorClient,
    section: DriftSection,
    window: Window,
    sides: Mapping[str, Sides],
    done: Container[str] = (),
) -> list[str]:
    """Test and store the segments that hold enough sessions and are not `done`; their names.

    `alpha` is shared among all segments of the window: together they raise a false alarm in at most `alpha` of the
    windows, however many there are.
    """
    testable = {segment: side for segment, side in sides.items() if has_enough(side, section.min_sessions)}
    checked = [segment for segment in testable if segment not in done]
    for segment in checked:
        alpha = section.alpha / len(testable)
        try:
            result = await asyncio.to_thread(detect, *testable[segment], seed=SEED)
        except ValueError as error:  # no word stands in two prompts: there is nothing to compare
            logger.info("drift: segment %r cannot be compared: %s", segment, error)
            continue
        await collector.store("/drift", row_of(result, segment, window, alpha))
    return checked


def row_of(result: DriftResult, segment: str, window: Window, alpha: float) -> dict[str, Any]:
    """The body of POST /drift."""
    return {
        "ts": window.current.end.isoformat(),
        "segment": segment,
        "window_start": window.current.start.isoformat(),
        "reference_start": window.reference.start.isoformat(),
        "reference_end": window.reference.end.isoformat(),
        "sessions_reference": result.sessions_reference,
        "sessions_current": result.sessions_current,
        "prompts_reference": result.prompts_reference,
        "prompts_current": result.prompts_current,
        "statistic": result.statistic,
        "p_value": result.p_value,
        "alpha": alpha,
        "drifted": result.p_value <= alpha,
        "terms": list(result.terms),
        "examples": list(result.examples),
    }


async def _segments(collector: CollectorClient, section: DriftSection, span: Span) -> dict[str, int]:
    """The busiest segments that may hold enough sessions, and their requests."""
    measured = await collector.measure("requests", span, {}, section.segment_by)
    busy = [
        segment
        for segment in measured
        if segment.requests >= 2 * section.min_sessions and len(str(segment.group)) <= SEGMENT_CHARS
    ]
    return {str(segment.group): segment.requests for segment in busy[:MOST_SEGMENTS]}


async def _fetch(collector: CollectorClient, section: DriftSection, segment: str, span: Span, requests: int) -> Prompts:
    share = min(1.0, MOST_PROMPTS / requests)
    samples = await collector.samples(span, {section.segment_by: [segment], **WRITTEN}, share, MOST_PROMPTS)
    prompts = {(sample.trace_id, sample.span_id): prompt_of(sample) for sample in samples}
    return {key: prompt for key, prompt in prompts.items() if prompt is not None}


def _since(start: datetime, prompts: Prompts) -> Prompts:
    return {key: prompt for key, prompt in prompts.items() if prompt.ts >= start}
