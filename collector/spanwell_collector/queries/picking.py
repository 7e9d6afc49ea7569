"""Picks the traces of a page, newest first, by little of each: they are many.

A trace stands where the first of its spans does that matches within the window. What matches is read from the newest
on, a chunk at a time, until the page is full: a page of a month costs what a page of an hour does.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from spanwell_collector.queries.cursors import Cursor
from spanwell_collector.queries.selection import WINDOW, Selection, microseconds, statement
from spanwell_collector.store.client import Store

FIRST_CHUNK: Final = 1024
LARGEST_CHUNK: Final = 262_144
DURATION_MS: Final = "max(toUnixTimestamp64Micro(ts) / 1000 + duration_ms) - toUnixTimestamp64Micro(min(ts)) / 1000"
BETWEEN: Final = (
    "ts BETWEEN fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')"
)
OF_TRACES: Final = f"project = {{project:String}} AND trace_id IN {{ids:Array(String)}} AND {BETWEEN}"
BOUNDS: Final = """
SELECT trace_id, toUnixTimestamp64Micro(min(first_ts)) AS first_us, toUnixTimestamp64Micro(max(last_ts)) AS last_us
FROM spanwell.trace_index
WHERE trace_id IN {ids:Array(String)}
GROUP BY trace_id
"""


Bounds = dict[str, tuple[int, int]]  # of a trace: where its first and its last span begin, in microseconds


class Driver(NamedTuple):
    """The rows that put a trace into the list: spans, or texts when they are searched."""

    table: str
    where: str
    parameters: dict[str, Any]


class Picked(NamedTuple):
    """The traces of a page, and where in time their spans begin, from the first to the last, in microseconds."""

    traces: list[Cursor]
    from_us: int
    to_us: int


class Chunk(NamedTuple):
    """The traces of some rows by their first match among them; `floor_us` is where the rows end, None at the last."""

    traces: list[Cursor]
    floor_us: int | None


def pick_traces(store: Store, selection: Selection, driver: Driver, *, after: Cursor | None, limit: int) -> Picked:
    """The first `limit` traces behind `after`."""
    picked: list[Cursor] = []
    bounds: Bounds = {}
    for some, floor_us in _read_groups(store, driver, after, limit):
        begun = some
        if floor_us is not None:
            bounds |= _read_bounds(store, [one.id for one in some])
            begun = _drop_earlier(store, selection, driver, begun, bounds, floor_us)
        picked += begun
        if len(picked) >= limit:
            break
    page = picked[:limit]
    bounds |= _read_bounds(store, [one.id for one in page if one.id not in bounds])
    return Picked(page, *_span_bounds(bounds[one.id] for one in page if one.id in bounds))


def pick_long_traces(
    store: Store, selection: Selection, driver: Driver, *, after: Cursor | None, min_ms: float, limit: int
) -> Picked:
    """The same for traces that took `min_ms` within the window, or longer; every trace of it is looked at."""
    matching = statement("SELECT trace_id", f"FROM spanwell.{driver.table}", f"WHERE {driver.where}")
    sql = statement(
        "SELECT any(trace_id) AS id, toUnixTimestamp64Micro(min(ts)) AS first_us,",
        "toUnixTimestamp64Micro(max(ts)) AS last_us",
        "FROM spanwell.spans",
        f"WHERE {WINDOW}",
        f"AND trace_id IN ({matching})" if selection.filters or driver.table != "spans" else "",
        "GROUP BY sipHash64(trace_id)",
        f"HAVING {DURATION_MS} >= {{min_ms:Float64}}",
        "AND (first_us, id) < ({after_us:Int64}, {after_id:String})" if after else "",
        "ORDER BY first_us DESC, id DESC LIMIT {limit:UInt32}",
    )
    asked = {**driver.parameters, "min_ms": min_ms, "limit": limit}
    if after:
        asked |= {"after_us": after.ts_us, "after_id": after.id}
    rows = store.query(sql, asked).to_pylist()
    page = [Cursor(row["first_us"], row["id"]) for row in rows]
    return Picked(page, *_span_bounds(_read_bounds(store, [one.id for one in page]).values()))


def read_bounds(store: Store, ids: Sequence[str]) -> tuple[int, int]:
    """Where in time the spans of these traces begin, from the first to the last, in microseconds."""
    return _span_bounds(_read_bounds(store, ids).values())


def _read_bounds(store: Store, ids: Sequence[str]) -> Bounds:
    if not ids:
        return {}
    rows = store.query(BOUNDS, {"ids": list(ids)}).to_pylist()
    return {row["trace_id"]: (row["first_us"], row["last_us"]) for row in rows}


def _span_bounds(bounds: Iterable[tuple[int, int]]) -> tuple[int, int]:
    pairs = list(bounds)
    return min((first for first, _ in pairs), default=0), max((last for _, last in pairs), default=0)


def _read_groups(
    store: Store, driver: Driver, after: Cursor | None, size: int
) -> Iterator[tuple[list[Cursor], int | None]]:
    """Traces behind `after`, newest first, `size` at a time: what a page does not need is not looked at closer."""
    for chunk in _read_chunks(store, driver, after):
        behind = sorted((one for one in chunk.traces if after is None or one < after), reverse=True)
        for first in range(0, len(behind), size):
            yield behind[first : first + size], chunk.floor_us


def _read_chunks(store: Store, driver: Driver, after: Cursor | None) -> Iterator[Chunk]:
    ceiling_us = after.ts_us if after else driver.parameters["end_us"]
    size = FIRST_CHUNK
    while True:
        traces, rows = _read_rows(store, driver, ceiling_us, size)
        floor_us = min(one.ts_us for one in traces) if rows == size else None
        yield Chunk([one for one in traces if floor_us is None or one.ts_us > floor_us], floor_us)
        if floor_us is None:
            return
        # A chunk of one and the same microsecond got nowhere: only a larger one will.
        size = size * 4 if floor_us == ceiling_us else min(size * 4, LARGEST_CHUNK)
        ceiling_us = floor_us


def _read_rows(store: Store, driver: Driver, ceiling_us: int, size: int) -> tuple[list[Cursor], int]:
    newest = statement(
        "SELECT trace_id, ts",
        f"FROM spanwell.{driver.table}",
        f"WHERE {driver.where} AND ts <= fromUnixTimestamp64Micro({{ceiling_us:Int64}}, 'UTC')",
        "ORDER BY ts DESC LIMIT {size:UInt32}",
    )
    sql = statement(
        "SELECT trace_id, toUnixTimestamp64Micro(min(ts)) AS first_us, count() AS rows",
        f"FROM ({newest})",
        "GROUP BY trace_id",
    )
    found = store.query(sql, {**driver.parameters, "ceiling_us": ceiling_us, "size": size}).to_pylist()
    return [Cursor(row["first_us"], row["trace_id"]) for row in found], sum(row["rows"] for row in found)


def _drop_earlier(
    store: Store, selection: Selection, driver: Driver, traces: list[Cursor], bounds: Bounds, floor_us: int
) -> list[Cursor]:
    """Without the traces that have a match below the chunk: they stand further down."""
    older = [one.id for one in traces if bounds.get(one.id, (floor_us + 1, 0))[0] <= floor_us]
    if not older:
        return traces
    sql = statement(
        "SELECT DISTINCT trace_id",
        f"FROM spanwell.{driver.table}",
        f"WHERE {driver.where} AND {OF_TRACES}",
    )
    asked = {"ids": older, "from_us": microseconds(selection.start), "to_us": floor_us}
    earlier = set(store.query(sql, {**driver.parameters, **asked}).column("trace_id").to_pylist())
    return [one for one in traces if one.id not in earlier]


def drive_by_spans(selection: Selection) -> Driver:
    return Driver("spans", selection.where(), selection.parameters())


def drive_by_texts(selection: Selection, condition: str, parameters: dict[str, Any]) -> Driver:
    """Texts that meet `condition`, of traces that `selection` filters."""
    traces = statement("SELECT trace_id", "FROM spanwell.spans", f"WHERE {selection.where()}")
    filtered = f"AND trace_id IN ({traces}) " if selection.filters else ""
    return Driver("texts", f"{WINDOW} {filtered}AND {condition}", {**selection.parameters(), **parameters})
