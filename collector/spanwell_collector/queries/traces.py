"""Traces: the list, newest first, the spans of one, and a span with its texts."""

import base64
import binascii
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell.errors import QueryError
from spanwell_collector.queries.selection import WINDOW, Selection, statement
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store

DURATION_MS: Final = "max(toUnixTimestamp64Micro(ts) / 1000 + duration_ms) - toUnixTimestamp64Micro(min(ts)) / 1000"
ROOT_FIRST: Final = "(parent_span_id != '', ts)"
TRACE_COLUMNS: Final = {
    "ts": "min(ts)",
    "name": f"argMin(name, {ROOT_FIRST})",
    "app": f"argMin(app, {ROOT_FIRST})",
    "user_id": "max(user_id)",
    "session_id": "max(session_id)",
    "status": "if(countIf(status = 'error') > 0, 'error', 'ok')",
    "duration_ms": DURATION_MS,
    "spans": "count()",
    "requests": f"countIf({REQUESTS})",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cost_usd": "toFloat64(sum(cost_usd))",
    "models": "arraySort(groupUniqArrayIf(20)(model, model != ''))",
}
SPAN_COLUMNS: Final = (
    "project, ts, trace_id, span_id, parent_span_id, name, operation, kind, status, status_message, error_type,"
    " http_status, service, app, environment, provider, model, request_model, deployment, user_id, session_id, key_id,"
    " team, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,"
    " toFloat64(cost_usd) AS cost_usd, toFloat64(saved_usd) AS saved_usd, price_version, ttft_ms, duration_ms, stream,"
    " cache, attempts, finish_reason, purpose, simulated, scope, attributes, resource, events"
)
TRACE_SPANS: Final = statement(
    f"SELECT {SPAN_COLUMNS}",
    "FROM spanwell.spans",
    "WHERE project = {project:String} AND trace_id = {trace_id:String}",
    "ORDER BY ts, span_id",
    "LIMIT 20000",
)
SPAN_TEXTS: Final = """
SELECT input, output
FROM spanwell.texts
WHERE project = {project:String} AND trace_id = {trace_id:String} AND span_id = {span_id:String}
LIMIT 1
"""


class Cursor(NamedTuple):
    """The last trace of a page; the next page begins behind it."""

    ts_us: int
    trace_id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"{self.ts_us}.{self.trace_id}".encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises QueryError."""
        try:
            ts_us, _, trace_id = base64.urlsafe_b64decode(text).decode().partition(".")
            return cls(int(ts_us), trace_id)
        except (binascii.Error, ValueError) as error:
            raise QueryError("cursor: pass what `next` of the page before said") from error


class Page(NamedTuple):
    rows: pa.Table
    next: str | None


class TraceFilter(NamedTuple):
    """What a trace as a whole has to be."""

    search: str = ""
    min_duration_ms: float = 0.0
    cursor: str = ""


def list_traces(store: Store, selection: Selection, only: TraceFilter, *, limit: int) -> Page:
    """One row a trace. A trace failed when any of its spans did; it is listed when any of its spans matches."""
    picked = _pick_traces(store, selection, only, limit + 1)
    page, following = picked[:limit], None
    if len(picked) > limit:
        following = page[-1].encode()
    sql = statement(
        "SELECT trace_id, " + ", ".join(f"{aggregate} AS t_{name}" for name, aggregate in TRACE_COLUMNS.items()),
        "FROM spanwell.spans",
        "WHERE project = {project:String} AND trace_id IN {ids:Array(String)}",
        "GROUP BY trace_id",
        "ORDER BY indexOf({ids:Array(String)}, trace_id)",
    )
    rows = store.query(sql, {"project": selection.project, "ids": [cursor.trace_id for cursor in page]})
    return Page(rows.rename_columns(["trace_id", *TRACE_COLUMNS]), following)


def _pick_traces(store: Store, selection: Selection, only: TraceFilter, limit: int) -> list[Cursor]:
    """The traces of a page by their first span in the window, newest first: little is kept of each, they are many."""
    cursor = Cursor.decode(only.cursor) if only.cursor else None
    having = [
        f"countIf({selection.matches()}) > 0" if selection.filters else "",
        f"{DURATION_MS} >= {{min_duration_ms:Float64}}" if only.min_duration_ms else "",
        "(first_us, trace_id) < ({cursor_us:Int64}, {cursor_id:String})" if cursor else "",
    ]
    searched = statement(
        "SELECT trace_id FROM spanwell.texts",
        f"WHERE {WINDOW} AND ({_found('input')} OR {_found('output')})",
    )
    sql = statement(
        "SELECT toUnixTimestamp64Micro(min(ts)) AS first_us, trace_id",
        "FROM spanwell.spans",
        f"WHERE {WINDOW}",
        f"AND trace_id IN ({searched})" if only.search else "",
        "GROUP BY trace_id",
        "HAVING " + " AND ".join(part for part in having if part) if any(having) else "",
        "ORDER BY first_us DESC, trace_id DESC",
        "LIMIT {limit:UInt32}",
    )
    parameters = {
        **selection.parameters(),
        "search": only.search,
        "min_duration_ms": only.min_duration_ms,
        "limit": limit,
    }
    if cursor:
        parameters |= {"cursor_us": cursor.ts_us, "cursor_id": cursor.trace_id}
    return [Cursor(row["first_us"], row["trace_id"]) for row in store.query(sql, parameters).to_pylist()]


def _found(column: str) -> str:
    return f"positionCaseInsensitiveUTF8({column}, {{search:String}}) > 0"


def get_trace(store: Store, project: str, trace_id: str) -> pa.Table:
    """Every span of a trace without its texts, in order of time; no rows when there is no such trace."""
    return store.query(TRACE_SPANS, {"project": project, "trace_id": trace_id})


def get_texts(store: Store, project: str, trace_id: str, span_id: str) -> tuple[str, str]:
    """A span's input and output; empty when it has none or they are past their time."""
    rows = store.query(SPAN_TEXTS, {"project": project, "trace_id": trace_id, "span_id": span_id}).to_pylist()
    return (rows[0]["input"], rows[0]["output"]) if rows else ("", "")
