"""Reads what stitching has to know: which traces were touched, and the spans of traces without their texts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from spanwell_collector.calls.facts import LOGFIRE, Key, SpanFacts, TraceKey
from spanwell_collector.calls.links import SHORTEST_ID
from spanwell_collector.store.client import Store

MOST_TOUCHED: Final = 5_000  # traces a page
MOST_SPANS: Final = 10_000  # of one trace; a longer one is left as it came
MOST_LOADED: Final = 20_000  # spans at once: they are decided about in Python, at a kilobyte each
LONGEST_ID: Final = 256  # characters of a response's, to be looked for elsewhere
LONGEST_WORD: Final = 1_000  # characters that are compared and passed on: nobody's name is longer
MOST_TAGS: Final = 100
PARTNER_SLACK_US: Final = 300_000_000
WORDS: Final = (
    *("scope", "dialect", "service", "operation", "status", "request_model", "response_id"),
    *("user_id", "session_id", "app", "environment", "release", "duplicate_of"),
)

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
HAVING (received_ms, project, trace_id) > ({after_ms:Int64}, {after_project:String}, {after_trace:String})
ORDER BY received_ms, project, trace_id
LIMIT {limit:UInt32}
"""
INDEXED: Final = """
SELECT toUnixTimestamp64Micro(min(first_ts)) AS first_us, toUnixTimestamp64Micro(max(last_ts)) AS last_us
FROM spanwell.trace_index
WHERE trace_id IN {traces:Array(String)}
HAVING count() > 0
"""
WITHIN: Final = """
ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND trace_id IN {traces:Array(String)} AND concat(trace_id, project) IN {names:Array(String)}
"""
SHORTENED: Final = ", ".join(f"leftUTF8(spans.{name}, {LONGEST_WORD}) AS {name}" for name in WORDS)


def _render(sql: str) -> str:
    return sql.replace("<within>", WITHIN.strip()).replace("<words>", SHORTENED)


LENGTHS: Final = _render("""
SELECT project, trace_id, count() AS spans
FROM spanwell.spans
WHERE <within>
GROUP BY project, trace_id
HAVING spans <= {most_spans:UInt32}
""")
SPANS: Final = _render("""
SELECT project, trace_id, span_id, parent_span_id, toUnixTimestamp64Micro(ts) AS ts_us,
    toInt64(duration_ms * 1000) AS duration_us, <words>, arraySlice(spans.tags, 1, {most_tags:UInt32}) AS tags,
    [input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens] AS usage,
    received > now64(3) - INTERVAL 60 SECOND AS is_fresh
FROM spanwell.spans AS spans
WHERE <within>
""")
TEXTS: Final = _render("""
SELECT project, trace_id, span_id, max(notEmpty(input)) AS has_input, max(notEmpty(output)) AS has_output
FROM spanwell.texts
WHERE <within>
GROUP BY project, trace_id, span_id
""")
STREAMS: Final = _render("""
SELECT project, trace_id, span_id, toFloat64OrZero(attributes['duration']) * 1000 AS streamed_ms
FROM spanwell.spans
WHERE <within> AND dialect = 'logfire' AND attributes['logfire.span_type'] = 'log'
""")
PARTNERS: Final = """
SELECT project, trace_id, toUnixTimestamp64Micro(min(ts)) AS first_us, toUnixTimestamp64Micro(max(ts)) AS last_us
FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND operation IN ('chat', 'text_completion', 'embeddings') AND trace_id NOT IN {traces:Array(String)}
  AND project IN {projects:Array(String)}
  AND ((response_id != '' AND response_id IN {responses:Array(String)})
       OR ({lonely:Bool} AND response_id = '' AND parent_span_id = ''
           AND (dialect = 'logfire' OR (status = 'error' AND dialect NOT IN ('', 'spanwell')))))
GROUP BY project, trace_id
LIMIT {limit:UInt32} BY project
"""


class Times(NamedTuple):
    """When the first and the last span began, of those of a trace that are known."""

    first_us: int
    last_us: int


class Place(NamedTuple):
    """Where reading goes on: behind this trace, in the order in which the last spans of traces came."""

    received_ms: int = 0
    project: str = ""
    trace_id: str = ""


class Touched(NamedTuple):
    """A trace that has new spans, and the ids of those."""

    trace: TraceKey
    times: Times
    span_ids: frozenset[str]
    received_ms: int

    @property
    def place(self) -> Place:
        return Place(self.received_ms, *self.trace)


class Loaded(NamedTuple):
    """Whole traces, and those that there was no room for."""

    spans: list[SpanFacts]
    later: dict[TraceKey, Times]


def list_touched(
    store: Store, since_ms: int, until_ms: int, after: Place, *, traces: list[str], responses: list[str]
) -> list[Touched]:
    """The next MOST_TOUCHED traces behind `after` that have spans which came in (since, until].

    Looked at are spans of dialects and calls within something, and any of `traces` and `responses`.
    """
    asked = {"since_ms": since_ms, "until_ms": until_ms, "limit": MOST_TOUCHED}
    behind = {"after_ms": after.received_ms, "after_project": after.project, "after_trace": after.trace_id}
    rows = store.query(TOUCHED, {**asked, **behind, "traces": traces, "responses": responses}).to_pylist()
    return [Touched(_trace_of(row), _times_of(row), frozenset(row["span_ids"]), row["received_ms"]) for row in rows]


def load_spans(store: Store, traces: Mapping[TraceKey, Times]) -> Loaded:
    """Every span of the first of `traces` that hold MOST_LOADED together; none of those too long to be stitched."""
    if not traces:
        return Loaded([], {})
    asked = _find_window(store, traces) | _name(traces)
    lengths = {
        _trace_of(row): row["spans"] for row in store.query(LENGTHS, {**asked, "most_spans": MOST_SPANS}).to_pylist()
    }
    fitting = sum(end <= MOST_LOADED for end in accumulate(lengths.get(trace, 0) for trace in traces))
    later = dict(list(traces.items())[fitting:])
    asked |= _name(lengths.keys() - later.keys())
    rows = store.query(SPANS, {**asked, "most_tags": MOST_TAGS}).to_pylist()
    texts = {_key_of(row): row for row in store.query(TEXTS, asked).to_pylist()}
    streams: Mapping[Key, float] = {}
    if any(row["dialect"] == LOGFIRE for row in rows):
        streams = {_key_of(row): row["streamed_ms"] for row in store.query(STREAMS, asked).to_pylist()}
    return Loaded([_make_facts(row, texts.get(_key_of(row), {}), streams) for row in rows], later)


def list_partners(store: Store, spans: Sequence[SpanFacts], *, limit: int) -> dict[TraceKey, Times]:
    """Other traces that may tell of the same calls: by their response ids, or as roots that have none."""
    calls = [span for span in spans if span.is_call]
    responses = {span.response_id for span in calls if SHORTEST_ID <= len(span.response_id) <= LONGEST_ID}
    lonely = any(not (span.response_id or span.parent_span_id or span.is_proxy) for span in calls)
    if not (responses or lonely):
        return {}
    asked = {
        "first_us": min(span.ts_us for span in calls) - PARTNER_SLACK_US,
        "last_us": max(span.end_us for span in calls) + PARTNER_SLACK_US,
        "projects": sorted({span.project for span in spans}),
        "traces": sorted({span.trace_id for span in spans}),
        "responses": sorted(responses),
        "lonely": lonely,
        "limit": limit,
    }
    return {_trace_of(row): _times_of(row) for row in store.query(PARTNERS, asked).to_pylist()}


def _find_window(store: Store, traces: Mapping[TraceKey, Times]) -> dict[str, Any]:
    """When all that is known of the traces took place: the index may not know the newest yet."""
    ids = sorted({trace_id for _, trace_id in traces})
    times = [*traces.values(), *(_times_of(row) for row in store.query(INDEXED, {"traces": ids}).to_pylist())]
    return {"first_us": min(one.first_us for one in times), "last_us": max(one.last_us for one in times)}


def _name(traces: Iterable[TraceKey]) -> dict[str, list[str]]:
    """A trace may go through several projects: each has its own part of it."""
    return {
        "traces": sorted({trace_id for _, trace_id in traces}),
        "names": sorted(f"{trace_id}{project}" for project, trace_id in traces),
    }


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
