"""Samples: model calls with their texts, for judges and drift checks."""

import pyarrow as pa

from spanwell_collector.queries.selection import WINDOW, Selection, statement
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store


def list_samples(store: Store, selection: Selection, *, share: float, limit: int) -> pa.Table:
    """Successful calls that a model answered, newest first; `share` keeps the same traces whoever asks."""
    picked = statement(
        "SELECT trace_id, span_id, ts, app, model, user_id, session_id",
        "FROM spanwell.spans",
        f"WHERE {selection.where()} AND {REQUESTS} AND cache != 'hit' AND status = 'ok'",
        "AND cityHash64(trace_id) % 10000 < {share:Float64} * 10000" if share < 1 else "",
        "ORDER BY ts DESC LIMIT {limit:UInt32}",
    )
    sql = statement(
        f"WITH picked AS ({picked}),",
        "wanted AS (SELECT trace_id, span_id FROM picked)",
        "SELECT trace_id, span_id, picked.ts AS ts, app, model, user_id, session_id,",
        "longest_input AS input, longest_output AS output",
        "FROM picked INNER JOIN (SELECT trace_id, span_id,",
        "argMax(input, length(input)) AS longest_input, argMax(output, length(output)) AS longest_output",
        "FROM spanwell.texts",
        f"WHERE {WINDOW} AND (trace_id, span_id) IN wanted GROUP BY trace_id, span_id) AS texts",
        "USING (trace_id, span_id)",
        "ORDER BY ts DESC",
    )
    return store.query(sql, {**selection.parameters(), "share": share, "limit": limit})
