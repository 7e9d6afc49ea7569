"""Traces: the list, newest first, the spans of one, and a span with its texts."""

from typing import Any, Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.cursors import Cursor
from spanwell_collector.queries.picking import (
    A_DAY_US,
    BETWEEN,
    DURATION_MS,
    OF_TRACES,
    Picked,
    drive_by_spans,
    drive_by_texts,
    find_trace,
    pick_long_traces,
    pick_traces,
)
from spanwell_collector.queries.search import search_texts
from spanwell_collector.queries.selection import Selection, statement
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store

# The gateway's attempts are no calls: one that failed and was followed by another is no failure of the whole.
FAILED: Final = "status = 'error' AND NOT (scope = 'spanwell.proxy' AND operation = '')"
ROOT_FIRST: Final = "(parent_span_id != '', ts)"
TRACE_COLUMNS: Final = {
    "ts": "min(ts)",
    "name": f"argMin(name, {ROOT_FIRST})",
    "app": f"argMin(app, {ROOT_FIRST})",
    "user_id": "max(user_id)",
    "session_id": "max(session_id)",
    "status": f"if(countIf({FAILED}) > 0, 'error', 'ok')",
    "duration_ms": DURATION_MS,
    "spans": "count()",
    "requests": f"countIf({REQUESTS})",
    "input_tokens": f"sumIf(input_tokens, {REQUESTS})",
    "output_tokens": f"sumIf(output_tokens, {REQUESTS})",
    "cost_usd": f"toFloat64(sumIf(cost_usd, {REQUESTS}))",
    "models": "arraySort(groupUniqArrayIf(20)(model, model != ''))",
}
SPAN_COLUMNS: Final = (
    "project, ts, trace_id, span_id, parent_span_id, duplicate_of, name, operation, kind, status, status_message,"
    " error_type, http_status, service, app, environment, release, agent, tool, prompt_name, prompt_version, provider,"
    " model, request_model, response_id, deployment, user_id, session_id, key_id, team, input_tokens, output_tokens,"
    " cached_tokens, cache_write_tokens, reasoning_tokens, usage, usage_basis, service_tier,"
    " toFloat64(cost_usd) AS cost_usd, mapApply((kind, usd) -> (kind, toFloat64(usd)), costs) AS costs, cost_source,"
    " toFloat64(reported_cost_usd) AS reported_cost_usd, toFloat64(first_cost_usd) AS first_cost_usd,"
    " toFloat64(saved_usd) AS saved_usd, price_version, ttft_ms, duration_ms, stream, cache, attempts, finish_reason,"
    " purpose, tags, simulated, scope, dialect, attributes, resource, events"
)
OF_TRACE: Final = f"project = {{project:String}} AND trace_id = {{trace_id:String}} AND {BETWEEN}"
TRACE_SPANS: Final = statement(
    f"SELECT {SPAN_COLUMNS}",
    "FROM spanwell.spans",
    f"WHERE {OF_TRACE} AND (toUnixTimestamp64Micro(ts), span_id) > ({{after_us:Int64}}, {{after_id:String}})",
    "ORDER BY ts, span_id",
    "LIMIT {limit:UInt32}",
)
SPAN: Final = statement(
    f"SELECT {SPAN_COLUMNS}",
    "FROM spanwell.spans",
    f"WHERE {OF_TRACE} AND span_id = {{span_id:String}}",
    "LIMIT 1",
)
# A span may have several texts: its own, and what log events told of it, which may be cut or empty. The longest counts.
SPAN_TEXTS: Final = statement(
    "SELECT argMax(input, length(input)) AS longest_input, argMax(output, length(output)) AS longest_output",
    "FROM spanwell.texts",
    f"WHERE {OF_TRACE} AND span_id = {{span_id:String}}",
)


class Page(NamedTuple):
    rows: pa.Table
    next: str | None


class TraceFilter(NamedTuple):
    """What a trace as a whole has to be."""

    search: str = ""
    min_duration_ms: float = 0.0
    cursor: str = ""


def list_traces(store: Store, selection: Selection, only: TraceFilter, *, limit: int) -> Page:
    """One row a trace. It failed when any of its spans but an attempt did; it is listed when any of them matches."""
    driver = drive_by_spans(selection)
    if only.search:
        found = search_texts(store, only.search)
        driver = drive_by_texts(selection, found.condition, found.parameters)
    after = Cursor.decode(only.cursor)
    if only.min_duration_ms:
        picked = pick_long_traces(store, selection, driver, after=after, min_ms=only.min_duration_ms, limit=limit + 1)
    else:
        picked = pick_traces(store, selection, driver, after=after, limit=limit + 1)
    following = picked.traces[limit - 1].encode() if len(picked.traces) > limit else None
    return Page(read_traces(store, selection.project, picked._replace(traces=picked.traces[:limit])), following)


def read_traces(store: Store, project: str, picked: Picked) -> pa.Table:
    """One row a trace, in the order of `picked`."""
    sql = statement(
        "SELECT trace_id, " + ", ".join(f"{aggregate} AS t_{name}" for name, aggregate in TRACE_COLUMNS.items()),
        "FROM spanwell.spans",
        f"WHERE {OF_TRACES} AND toDate(ts) IN {{days:Array(Date)}}",
        "GROUP BY trace_id",
        "ORDER BY indexOf({ids:Array(String)}, trace_id)",
    )
    ids = [one.id for one in picked.traces]
    rows = store.query(sql, {"project": project, "ids": ids, **picked.stretch._asdict()})
    return rows.rename_columns(["trace_id", *TRACE_COLUMNS])


def get_trace(store: Store, project: str, trace_id: str, *, limit: int, cursor: str = "") -> Page:
    """The spans of a trace without their texts, in order of time; no rows when there is no such trace."""
    after = Cursor.decode(cursor) or Cursor(-1, "")
    asked = {**_place(store, project, trace_id), "after_us": after.ts_us, "after_id": after.id, "limit": limit + 1}
    rows = store.query(TRACE_SPANS, asked)
    if rows.num_rows <= limit:
        return Page(rows, None)
    page = rows.slice(0, limit)
    last = page.slice(limit - 1).to_pylist()[0]
    return Page(
        page, Cursor(int(last["ts"].timestamp()) * 1_000_000 + last["ts"].microsecond, last["span_id"]).encode()
    )


def get_span(store: Store, project: str, trace_id: str, span_id: str) -> pa.Table:
    """One span without its texts; no row when there is none."""
    return store.query(SPAN, {**_place(store, project, trace_id), "span_id": span_id})


def get_texts(store: Store, project: str, trace_id: str, span_id: str) -> tuple[str, str]:
    """A span's input and output; empty when it has none or they are past their time."""
    place = _place(store, project, trace_id)
    # What a log event tells of a span has the time of the event.
    asked = {**place, "span_id": span_id, "from_us": place["from_us"] - A_DAY_US, "to_us": place["to_us"] + A_DAY_US}
    rows = store.query(SPAN_TEXTS, asked).to_pylist()
    return rows[0]["longest_input"], rows[0]["longest_output"]


def _place(store: Store, project: str, trace_id: str) -> dict[str, Any]:
    return {"project": project, "trace_id": trace_id, **find_trace(store, trace_id)._asdict()}
