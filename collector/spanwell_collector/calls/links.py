"""Which calls of different branches or traces are one call: told by two emitters that know nothing of each other."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from spanwell_collector.calls.facts import ANTHROPIC_SDK, LOGFIRE, SpanFacts

SLACK_US: Final = 5_000_000  # between the clocks of two hosts
STREAM_SLACK_US: Final = 2_000_000  # between the end of a request span and the stream that it began
NEIGHBOURS: Final = 16  # looked at on one side of a call: an emitter may give all its calls one id
SHORTEST_ID: Final = 8


class Link(NamedTuple):
    """Two spans that tell of one call; the smaller `distance_us`, the surer. `is_part`: each tells of a part of it."""

    distance_us: int
    one: SpanFacts
    other: SpanFacts
    is_part: bool = False


def find_links(calls: Iterable[SpanFacts]) -> list[Link]:
    """The surest first. A span may be in several links; which of them hold is the caller's choice."""
    spans = sorted(calls, key=lambda span: span.order)
    links = [*_with_one_id(spans), *_streams_of_logfire(spans), *_errors_of_anthropic(spans)]
    return sorted(links, key=lambda link: (link.distance_us, link.one.order, link.other.order))


def _with_one_id(spans: Sequence[SpanFacts]) -> Iterator[Link]:
    """Two emitters that saw the same response at the same time."""
    for some in _grouped(spans, lambda span: (span.project, span.response_id)):
        if len(some[0].response_id) >= SHORTEST_ID:
            for one, other in _near(some):
                is_part = one.is_part_with(other)
                if (is_part or one.emitter != other.emitter) and _meet(one, other, SLACK_US):
                    yield Link(abs(one.ts_us - other.ts_us), one, other, is_part)


def _streams_of_logfire(spans: Sequence[SpanFacts]) -> Iterator[Link]:
    """A stream's record, written at its end, and the request that ended when the stream began."""
    own = [span for span in spans if span.dialect == LOGFIRE and not span.response_id]
    for some in _grouped(own, lambda span: (span.project, span.service, span.request_model)):
        for one, other in _near(some):
            request, stream = (one, other) if other.streamed_ms is not None else (other, one)
            if stream.streamed_ms is None or request.streamed_ms is not None or request.status == "error":
                continue
            is_told_once = not request.has_usage or request.usage == stream.usage
            is_near = (request.trace_id, request.parent_span_id) == (stream.trace_id, stream.parent_span_id) or not (
                request.parent_span_id or stream.parent_span_id
            )
            gap_us = abs(stream.ts_us - int(stream.streamed_ms * 1000) - request.end_us)
            if is_told_once and is_near and gap_us <= STREAM_SLACK_US:
                yield Link(gap_us, request, stream)


def _errors_of_anthropic(spans: Sequence[SpanFacts]) -> Iterator[Link]:
    """A failed call has no response id; Anthropic's SDK tells of it within what the instrumentation tells."""
    failed = [span for span in spans if span.status == "error" and not span.response_id]
    for some in _grouped(failed, lambda span: (span.project, span.service, span.request_model)):
        for one, other in _near(some):
            inner, outer = (one, other) if one.dialect == ANTHROPIC_SDK else (other, one)
            if inner.dialect != ANTHROPIC_SDK or outer.dialect == ANTHROPIC_SDK:
                continue
            is_near = (inner.trace_id, inner.parent_span_id) == (outer.trace_id, outer.parent_span_id) or not (
                inner.parent_span_id or outer.parent_span_id
            )
            if is_near and outer.ts_us <= inner.ts_us and inner.end_us <= outer.end_us:
                yield Link(inner.ts_us - outer.ts_us, outer, inner)


def _grouped(spans: Iterable[SpanFacts], by: Callable[[SpanFacts], tuple[str, ...]]) -> Iterable[list[SpanFacts]]:
    groups: dict[tuple[str, ...], list[SpanFacts]] = defaultdict(list)
    for span in spans:
        groups[by(span)].append(span)
    return groups.values()


def _near(spans: Sequence[SpanFacts]) -> Iterator[tuple[SpanFacts, SpanFacts]]:
    """Pairs of spans that began one soon after the other."""
    for index, span in enumerate(spans):
        for other in islice(spans, index + 1, index + 1 + NEIGHBOURS):
            yield span, other


def _meet(one: SpanFacts, other: SpanFacts, slack_us: int) -> bool:
    return one.ts_us <= other.end_us + slack_us and other.ts_us <= one.end_us + slack_us
