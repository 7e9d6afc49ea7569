"""For tests of traced code: collect spans in memory, with ids that count and a clock that steps.

def test_recommend():
    with capture() as captured:
        recommend("lighthouses")

    assert [span["name"] for span in captured.spans] == ["find_books", "recommend"]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import format_span_id, format_trace_id

from spanwell.outbox import Delivery
from spanwell.sessions import attributes
from spanwell.setup import Runtime, install, peek

NANOSECONDS = 1_000_000_000


class Captured:
    """What was recorded: `spans` in the order they ended, `scores` in the order they were given."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []

    def trace(self, trace_id: int = 1) -> list[dict[str, Any]]:
        """Spans of the n-th trace, in the order they started."""
        wanted = format_trace_id(trace_id)
        return sorted((s for s in self.spans if s["trace_id"] == wanted), key=lambda s: s["start_s"])


@contextmanager
def capture(*, capture_content: bool = True) -> Iterator[Captured]:
    """Record Spanwell's spans and scores in memory instead of sending them.

    Trace and span ids are 1, 2, 3 and so on; every look at the clock is a second later than the one before. So a
    whole trace is the same in every run, and can be compared with one `==`.
    """
    captured = Captured()
    provider = TracerProvider(sampler=ALWAYS_ON, id_generator=_CountingIds(), shutdown_on_exit=False)
    provider.add_span_processor(_Collector(captured.spans))
    seconds = count(1)
    before = peek()
    install(
        Runtime(
            provider.get_tracer("spanwell"),
            capture_content,
            captured.scores.append,
            lambda _: Delivery(delivered=len(captured.spans) + len(captured.scores)),
            lambda _: None,
            lambda: next(seconds) * NANOSECONDS,
        )
    )
    try:
        yield captured
    finally:
        install(before)


class _CountingIds(IdGenerator):
    def __init__(self) -> None:
        self._trace_ids = count(1)
        self._span_ids = count(1)

    def generate_trace_id(self) -> int:
        return next(self._trace_ids)

    def generate_span_id(self) -> int:
        return next(self._span_ids)


class _Collector(SpanProcessor):
    def __init__(self, spans: list[dict[str, Any]]) -> None:
        self._spans = spans

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attributes(attributes(parent_context))

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(to_dict(span))


def to_dict(span: ReadableSpan) -> dict[str, Any]:
    """A span as plain data; times in seconds, ids as hex, status as the store writes it."""
    return {
        "name": span.name,
        "trace_id": format_trace_id(span.context.trace_id),
        "span_id": format_span_id(span.context.span_id),
        "parent_span_id": format_span_id(span.parent.span_id) if span.parent else "",
        "start_s": (span.start_time or 0) / NANOSECONDS,
        "end_s": (span.end_time or 0) / NANOSECONDS,
        "status": span.status.status_code.name.lower(),
        "status_message": span.status.description or "",
        "attributes": dict(span.attributes or {}),
        "events": [{"name": event.name, "attributes": dict(event.attributes or {})} for event in span.events],
    }
