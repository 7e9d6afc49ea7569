"""Picks the traces of a page, newest first, by little of each: they are many.

A trace stands where the first of its spans does that matches within the window. What matches is read from the newest
on, a chunk at a time, until the page is full: a page of a month costs what a page of an hour does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from spanwell_collector.queries.cursors import Cursor
from spanwell_collector.queries.selection import WINDOW, Selection, microseconds, statement
from spanwell_collector.store.client import Store

FIRST_CHUNK: Final = 1024
LARGEST_CHUNK: Final = 262_144
A_DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1)
DURATION_MS: Final = "max(toUnixTimestamp64Micro(ts) / 1000 + duration_ms) - toUnixTimestamp64Micro(min(ts)) / 1000"
BETWEEN: Final = (
    "ts BETWEEN fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')"
)
OF_TRACES: Final = f"project = {{project:String}} AND trace_id IN {{ids:Array(String)}} AND {BETWEEN}"
ABOVE: Final = "ts >= fromUnixTimestamp64Micro({bottom_us:Int64}, 'UTC')"
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
    is_choosy: bool  # or are they all that there are


class Stretch(NamedTuple):
    """Where in time the spans of some traces begin: from the first to the last, and on which days."""

    from_us: int
    to_us: int
    days: list[date]


class Picked(NamedTuple):
    """The traces of a page, and where to find their spans."""

    traces: list[Cursor]
    stretch: Stretch


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
    return Picked(page, _stretch(bounds[one.id] for one in page if one.id in bounds))


def pick_long_traces(
    store: Store, selection: Selection, driver: Driver, *, after: Cursor | None, min_ms: float, limit: int
) -> Picked:
    """The same for traces that took `min_ms` within the window, or longer, by the first of all their spans in it."""
    everything = drive_by_spans(replace(selection, filters=()))
    picked: list[Cursor] = []
    bounds: Bounds = {}
    for bottom_us in _list_bottoms(driver, after):
        found = _read_long(store, driver, after, {"min_ms": min_ms, "bottom_us": bottom_us, "limit": limit})
        bounds = _read_bounds(store, [one.id for one in found])
        picked = _drop_earlier(store, selection, everything, found, bounds, bottom_us - 1)
        if len(picked) >= limit:
            break
    return Picked(picked, _stretch(bounds[one.id] for one in picked if one.id in bounds))


def _read_long(store: Store, driver: Driver, after: Cursor | None, asked: dict[str, Any]) -> list[Cursor]:
    matching = statement("SELECT trace_id", f"FROM spanwell.{driver.table}", f"WHERE {driver.where}")
    sql = statement(
        "SELECT any(trace_id) AS id, toUnixTimestamp64Micro(min(ts)) AS first_us",
        "FROM spanwell.spans",
        f"WHERE {WINDOW} AND {ABOVE}",
        f"AND trace_id IN ({matching})" if driver.is_choosy else "",
        "GROUP BY sipHash64(trace_id)",
        f"HAVING {DURATION_MS} >= {{min_ms:Float64}}",
        "AND (first_us, id) < ({after_us:Int64}, {after_id:String})" if after else "",
        "ORDER BY first_us DESC, id DESC LIMIT {limit:UInt32}",
    )
    behind = {"after_us": after.ts_us, "after_id": after.id} if after else {}
    rows = store.query(sql, {**driver.parameters, **asked, **behind}).to_pylist()
    return [Cursor(row["first_us"], row["id"]) for row in rows]


def find_trace(store: Store, trace_id: str) -> Stretch:
    """Where in time the spans of a trace begin; nowhere, when there is none."""
    return _stretch(_read_bounds(store, [trace_id]).values())


def _read_bounds(store: Store, ids: Sequence[str]) -> Bounds:
    if not ids:
        return {}
    rows = store.query(BOUNDS, {"ids": list(ids)}).to_pylist()
    return {row["trace_id"]: (row["first_us"], row["last_us"]) for row in rows}


def _stretch(bounds: Iterable[tuple[int, int]]) -> Stretch:
    pairs = list(bounds)
    days = {day for first, last in pairs for day in range(first // A_DAY_US, last // A_DAY_US + 1)}
    return Stretch(
        min((first for first, _ in pairs), default=0),
        max((last for _, last in pairs), default=0),
        [EPOCH + timedelta(days=day) for day in sorted(days)],
    )


def _read_groups(
    store: Store, driver: Driver, after: Cursor | None, size: int
) -> Iterator[tuple[list[Cursor], int | None]]:
    """Traces behind `after`, newest first, `size` at a time: what a page does not need is not looked at closer."""
    for chunk in _read_chunks(store, driver, after):
        behind = sorted((one for one in chunk.traces if after is None or one < after), reverse=True)
        for first in range(0, len(behind), size):
            yield behind[first : first + size], chunk.floor_us


def _read_chunks(store: Store, driver: Driver, after: Cursor | None) -> Iterator[Chunk]:
    ceiling_us, size = after.ts_us if after else int(driver.parameters["end_us"]), FIRST_CHUNK
    bottoms = _list_bottoms(driver, after)
    while bottoms:
        traces, rows = _read_rows(store, driver, {"bottom_us": bottoms[0], "ceiling_us": ceiling_us, "size": size})
        floor_us = min(one.ts_us for one in traces) if rows == size else bottoms.pop(0) - 1
        yield Chunk([one for one in traces if one.ts_us > floor_us], floor_us if bottoms else None)
        # A chunk of one and the same microsecond got nowhere: only a larger one will.
        size = size * 4 if floor_us == ceiling_us else min(size * 4, LARGEST_CHUNK)
        ceiling_us = floor_us


def _list_bottoms(driver: Driver, after: Cursor | None) -> list[int]:
    """How far down to read: a day at first, which mostly has enough and lies in few files, then the whole window."""
    start_us = int(driver.parameters["start_us"])
    day_us = (after.ts_us if after else int(driver.parameters["end_us"])) - A_DAY_US
    return [day_us, start_us] if day_us > start_us else [start_us]


def _read_rows(store: Store, driver: Driver, asked: dict[str, int]) -> tuple[list[Cursor], int]:
    newest = statement(
        "SELECT trace_id, ts",
        f"FROM spanwell.{driver.table}",
        f"WHERE {ABOVE} AND ts <= fromUnixTimestamp64Micro({{ceiling_us:Int64}}, 'UTC') AND {driver.where}",
        "ORDER BY ts DESC LIMIT {size:UInt32}",
    )
    sql = statement(
        "SELECT trace_id, toUnixTimestamp64Micro(min(ts)) AS first_us, count() AS rows",
        f"FROM ({newest})",
        "GROUP BY trace_id",
    )
    found = store.query(sql, {**driver.parameters, **asked}).to_pylist()
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
    return Driver("spans", selection.where(), selection.parameters(), bool(selection.filters))


def drive_by_texts(selection: Selection, condition: str, parameters: dict[str, Any]) -> Driver:
    """Texts that meet `condition`, of traces that `selection` filters."""
    traces = statement("SELECT trace_id", "FROM spanwell.spans", f"WHERE {selection.where()}")
    filtered = f"AND trace_id IN ({traces}) " if selection.filters else ""
    return Driver("texts", f"{WINDOW} {filtered}AND {condition}", {**selection.parameters(), **parameters}, True)
