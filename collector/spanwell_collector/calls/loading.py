"""Reads what stitching has to know: which traces were touched, and the spans of traces without their texts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanwell_collector.calls.facts import LOGFIRE, Key, SpanFacts, TraceKey
from spanwell_collector.calls.links import SHORTEST_ID
from spanwell_collector.store.client import Store

MOST_TOUCHED: Final = 50_000
MOST_SPANS: Final = 10_000  # of one trace; a longer one is left as it came
PARTNER_SLACK_US: Final = 300_000_000

# A call of our gateway's that has no parent cannot change another, unless one waits for its trace or response.
TOUCHED: Final = """
SELECT project, trace_id, groupUniqArray(span_id) AS span_ids,
    toUnixTimestamp64Micro(min(ts)) AS first_us, toUnixTimestamp64Micro(max(ts)) AS last_us,
    toUnixTimestamp64Milli(max(received)) AS received_ms
FROM spanwell.spans
WHERE received > fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
  AND received <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')
  AND (dialect NOT IN ('', 'spanwell', 'otel')
       OR (operation IN ('chat', 'text_completion', 'embeddings') AND parent_span_id != '')
       OR (trace_id IN {traces:Array(String)})
       OR (response_id != '' AND response_id IN {responses:Array(String)}))
GROUP BY project, trace_id
ORDER BY received_ms
LIMIT {limit:UInt32}
"""
INDEXED: Final = """
SELECT toUnixTimestamp64Micro(min(first_ts)) AS first_us, toUnixTimestamp64Micro(max(last_ts)) AS last_us
FROM spanwell.trace_index
WHERE trace_id IN {traces:Array(String)}
HAVING count() > 0
"""
SPANS: Final = """
SELECT project, trace_id, span_id, parent_span_id, toUnixTimestamp64Micro(ts) AS ts_us,
    toInt64(duration_ms * 1000) AS duration_us, scope, dialect, service, operation, status, request_model, response_id,
    [input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens] AS usage,
    user_id, session_id, app, environment, release, tags, duplicate_of,
    received > now64(3) - INTERVAL 60 SECOND AS is_fresh
FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND trace_id IN {traces:Array(String)}
LIMIT {limit:UInt32} BY project, trace_id
"""
TEXTS: Final = """
SELECT project, trace_id, span_id, max(notEmpty(input)) AS has_input, max(notEmpty(output)) AS has_output
FROM spanwell.texts
WHERE ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND trace_id IN {traces:Array(String)}
GROUP BY project, trace_id, span_id
"""
STREAMS: Final = """
SELECT project, trace_id, span_id, toFloat64OrZero(attributes['duration']) * 1000 AS streamed_ms
FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND trace_id IN {traces:Array(String)} AND dialect = 'logfire' AND attributes['logfire.span_type'] = 'log'
"""
PARTNERS: Final = """
SELECT project, trace_id, toUnixTimestamp64Micro(min(ts)) AS first_us, toUnixTimestamp64Micro(max(ts)) AS last_us
FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND operation IN ('chat', 'text_completion', 'embeddings') AND trace_id NOT IN {traces:Array(String)}
  AND ((response_id != '' AND response_id IN {responses:Array(String)})
       OR ({lonely:Bool} AND response_id = '' AND parent_span_id = ''
           AND (dialect = 'logfire' OR (status = 'error' AND dialect NOT IN ('', 'spanwell')))))
GROUP BY project, trace_id
LIMIT {limit:UInt32}
"""


class Times(NamedTuple):
    """When the first and the last span began, of those of a trace that are known."""

    first_us: int
    last_us: int


class Touched(NamedTuple):
    """A trace that has new spans, and the ids of those."""

    trace: TraceKey
    times: Times
    span_ids: frozenset[str]
    received_ms: int


def list_touched(
    store: Store, since_ms: int, until_ms: int, *, traces: list[str], responses: list[str]
) -> list[Touched]:
    """Traces with spans that came in (since, until], oldest first, at most MOST_TOUCHED of them.

    Looked at are spans of dialects and calls within something, and any of `traces` and `responses`.
    """
    asked = {"since_ms": since_ms, "until_ms": until_ms, "limit": MOST_TOUCHED}
    rows = store.query(TOUCHED, {**asked, "traces": traces, "responses": responses}).to_pylist()
    return [Touched(_trace_of(row), _times_of(row), frozenset(row["span_ids"]), row["received_ms"]) for row in rows]


def load_spans(store: Store, traces: Mapping[TraceKey, Times]) -> list[SpanFacts]:
    """Every span of `traces`, without those traces that are too long to be stitched."""
    if not traces:
        return []
    asked = _find_window(store, traces)
    rows = [
        row for row in store.query(SPANS, {**asked, "limit": MOST_SPANS + 1}).to_pylist() if _trace_of(row) in traces
    ]
    texts = {_key_of(row): row for row in store.query(TEXTS, asked).to_pylist()}
    streams: Mapping[Key, float] = {}
    if any(row["dialect"] == LOGFIRE for row in rows):
        streams = {_key_of(row): row["streamed_ms"] for row in store.query(STREAMS, asked).to_pylist()}
    return _without_long([_make_facts(row, texts.get(_key_of(row), {}), streams) for row in rows])


def list_partners(store: Store, spans: Sequence[SpanFacts], *, limit: int) -> dict[TraceKey, Times]:
    """Other traces that may tell of the same calls: by their response ids, or as roots that have none."""
    calls = [span for span in spans if span.is_call]
    responses = {span.response_id for span in calls if len(span.response_id) >= SHORTEST_ID}
    lonely = any(not (span.response_id or span.parent_span_id or span.is_proxy) for span in calls)
    if not (responses or lonely):
        return {}
    asked = {
        "first_us": min(span.ts_us for span in calls) - PARTNER_SLACK_US,
        "last_us": max(span.end_us for span in calls) + PARTNER_SLACK_US,
        "traces": sorted({span.trace_id for span in spans}),
        "responses": sorted(responses),
        "lonely": lonely,
        "limit": limit,
    }
    projects = {span.project for span in spans}
    rows = store.query(PARTNERS, asked).to_pylist()
    return {_trace_of(row): _times_of(row) for row in rows if row["project"] in projects}


def _find_window(store: Store, traces: Mapping[TraceKey, Times]) -> dict[str, Any]:
    """The traces, and when all that is known of them took place: the index may not know the newest yet."""
    ids = sorted({trace_id for _, trace_id in traces})
    times = [*traces.values(), *(_times_of(row) for row in store.query(INDEXED, {"traces": ids}).to_pylist())]
    return {"traces": ids, "first_us": min(one.first_us for one in times), "last_us": max(one.last_us for one in times)}


def _without_long(spans: list[SpanFacts]) -> list[SpanFacts]:
    counts: dict[TraceKey, int] = {}
    for span in spans:
        counts[span.trace] = counts.get(span.trace, 0) + 1
    return [span for span in spans if counts[span.trace] <= MOST_SPANS]


def _make_facts(row: Mapping[str, Any], texts: Mapping[str, Any], streams: Mapping[Key, float]) -> SpanFacts:
    own = {**row, "usage": tuple(row["usage"]), "tags": tuple(row["tags"]), "is_fresh": bool(row["is_fresh"])}
    return SpanFacts(
        **own,
        has_input=bool(texts.get("has_input")),
        has_output=bool(texts.get("has_output")),
        streamed_ms=streams.get(_key_of(row)),
    )


def _times_of(row: Mapping[str, Any]) -> Times:
    return Times(row["first_us"], row["last_us"])


def _trace_of(row: Mapping[str, Any]) -> TraceKey:
    return (row["project"], row["trace_id"])


def _key_of(row: Mapping[str, Any]) -> Key:
    return (row["project"], row["trace_id"], row["span_id"])
