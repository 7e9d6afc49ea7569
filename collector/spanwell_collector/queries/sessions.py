"""Sessions: conversations, by their last call, newest first."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from spanwell_collector.queries.cursors import Cursor
from spanwell_collector.queries.picking import FIRST_CHUNK, LARGEST_CHUNK
from spanwell_collector.queries.selection import Selection, microseconds, statement
from spanwell_collector.queries.traces import Page
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store

IN_SESSION: Final = f"{REQUESTS} AND session_id != ''"
UP_TO: Final = "ts <= fromUnixTimestamp64Micro({ceiling_us:Int64}, 'UTC')"
SESSION_COLUMNS: Final = {
    "first_ts": "min(ts)",
    "last_ts": "max(ts)",
    "user_id": "max(user_id)",
    "app": "max(app)",
    "requests": "count()",
    "traces": "uniqExact(trace_id)",
    "errors": "countIf(status = 'error')",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cost_usd": "ifNull(toFloat64(sum(cost_usd)), 0)",
    "models": "arraySort(groupUniqArrayIf(20)(model, model != ''))",
}


def list_sessions(store: Store, selection: Selection, *, cursor: str, limit: int) -> Page:
    """One row a session, about its calls within the selection."""
    after, picked = Cursor.decode(cursor), list[Cursor]()
    for found in _read_chunks(store, selection, after):
        seen = {one.id for one in picked}
        picked += sorted((one for one in found if one.id not in seen), reverse=True)
        if len(picked) > limit:
            break
    following = picked[limit - 1].encode() if len(picked) > limit else None
    return Page(_read_sessions(store, selection, [one.id for one in picked[:limit]]), following)


def _read_chunks(store: Store, selection: Selection, after: Cursor | None) -> Iterator[list[Cursor]]:
    ceiling_us, size = after.ts_us if after else microseconds(selection.end), FIRST_CHUNK
    newest = statement(
        "SELECT session_id, ts FROM spanwell.spans",
        f"WHERE {selection.where()} AND {IN_SESSION} AND {UP_TO}",
        "ORDER BY ts DESC LIMIT {size:UInt32}",
    )
    sql = statement(
        "SELECT session_id, toUnixTimestamp64Micro(max(ts)) AS last_us, toUnixTimestamp64Micro(min(ts)) AS floor_us,",
        "count() AS rows",
        f"FROM ({newest}) GROUP BY session_id",
    )
    while True:
        asked = {**selection.parameters(), "ceiling_us": ceiling_us, "size": size}
        found = store.query(sql, asked).to_pylist()
        sessions = [Cursor(row["last_us"], row["session_id"]) for row in found]
        yield _drop_later(store, selection, sessions, after) if after else sessions
        if sum(row["rows"] for row in found) < size:
            return
        floor_us = min(row["floor_us"] for row in found)
        size = size * 4 if floor_us == ceiling_us else min(size * 4, LARGEST_CHUNK)
        ceiling_us = floor_us


def _drop_later(store: Store, selection: Selection, sessions: list[Cursor], after: Cursor) -> list[Cursor]:
    """Without the sessions that had a later call: they stood further up."""
    sql = statement(
        "SELECT DISTINCT session_id FROM spanwell.spans",
        f"WHERE {selection.where()} AND {IN_SESSION} AND NOT {UP_TO} AND session_id IN {{ids:Array(String)}}",
    )
    asked = {**selection.parameters(), "ceiling_us": after.ts_us, "ids": [one.id for one in sessions]}
    later = set(store.query(sql, asked).column("session_id").to_pylist())
    return [one for one in sessions if one < after and one.id not in later]


def _read_sessions(store: Store, selection: Selection, ids: list[str]) -> pa.Table:
    sql = statement(
        "SELECT session_id, " + ", ".join(f"{aggregate} AS s_{name}" for name, aggregate in SESSION_COLUMNS.items()),
        "FROM spanwell.spans",
        f"WHERE {selection.where()} AND {REQUESTS} AND session_id IN {{ids:Array(String)}}",
        "GROUP BY session_id",
        "ORDER BY indexOf({ids:Array(String)}, session_id)",
    )
    rows = store.query(sql, {**selection.parameters(), "ids": ids})
    return rows.rename_columns(["session_id", *SESSION_COLUMNS])
