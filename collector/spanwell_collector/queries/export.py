"""Exports: what is stored of a window, whole and as it is stored, with the number of its rows told beforehand."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal, get_args

from spanwell.errors import StoreError
from spanwell_collector.queries.selection import WINDOW, Selection, microseconds, statement
from spanwell_collector.queries.traces import TRACE_COLUMNS
from spanwell_collector.store.client import Store
from spanwell_collector.store.streams import Stream, open_stream

What = Literal["spans", "traces", "scores", "texts"]
Format = Literal["parquet", "csv", "jsonl"]

WHATS: Final[tuple[What, ...]] = get_args(What)
FORMATS: Final[dict[Format, str]] = {"parquet": "Parquet", "csv": "CSVWithNames", "jsonl": "JSONEachRow"}
ATTEMPTS: Final = 12
SETTLE_SECONDS: Final = 0.25
BEYOND: Final = timedelta(days=1)  # how far a trace may reach out of the window
BETWEEN: Final = (
    "project = {project:String}"
    " AND ts >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')"
    " AND ts < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')"
)


class Export:
    """An export under way, of `rows` rows."""

    def __init__(self, stream: Stream, first: bytes, rows: int) -> None:
        self.rows = rows
        self._stream = stream
        self._first = first

    def read(self) -> bytes:
        """The next piece; empty at the end. Raises StoreError. Blocks."""
        piece, self._first = self._first, b""
        return piece or self._stream.read()

    def abandon(self) -> None:
        """End it, if it has not."""
        self._stream.abandon()


def begin_export(
    store: Store, selection: Selection, what: What, format: Format, *, sleep: Callable[[float], None] = time.sleep
) -> Export:
    """Begin to export.

    The rows are counted before the engine has taken hold of them and after it: where both agree, nothing came between.
    Raises StoreError when rows do not cease to come.
    """
    sql = select_rows(what, selection)
    parameters = _bind(selection)
    rows = _count(store, what, selection)
    for _ in range(ATTEMPTS):
        stream = open_stream(store, sql, parameters, FORMATS[format])
        try:
            first = stream.read()
            before, rows = rows, _count(store, what, selection)
        except StoreError:
            stream.abandon()
            raise
        if before == rows:
            return Export(stream, first, rows)
        stream.abandon()
        sleep(SETTLE_SECONDS)
    raise StoreError("rows keep coming into this window: let it end some seconds ago")


def select_rows(what: What, selection: Selection) -> str:
    """The statement whose rows are exported, in no order."""
    if what == "spans":
        return statement("SELECT *", "FROM spanwell.spans", f"WHERE {selection.where()}")
    if what == "traces":
        aggregates = ", ".join(f"{aggregate} AS t_{name}" for name, aggregate in TRACE_COLUMNS.items())
        return statement(
            "SELECT trace_id, " + ", ".join(f"t_{name} AS {name}" for name in TRACE_COLUMNS),
            f"FROM (SELECT trace_id, {aggregates}",
            "FROM spanwell.spans",
            f"WHERE {BETWEEN} AND trace_id IN ({_traces(selection)})",
            "GROUP BY trace_id)",
        )
    if what == "texts":
        spans = statement("SELECT trace_id, span_id", "FROM spanwell.spans", f"WHERE {selection.where()}")
        return _of_window("*", "spanwell.texts", f"(trace_id, span_id) IN ({spans})" if selection.filters else "")
    traces = f"trace_id IN ({_traces(selection)})" if selection.filters else ""
    return _of_window("* EXCEPT (version)", "spanwell.scores FINAL", traces)


def _of_window(columns: str, table: str, condition: str) -> str:
    return statement(f"SELECT {columns}", f"FROM {table}", f"WHERE {WINDOW}", f"AND {condition}" if condition else "")


def _traces(selection: Selection) -> str:
    return statement("SELECT DISTINCT trace_id", "FROM spanwell.spans", f"WHERE {selection.where()}")


def _count(store: Store, what: What, selection: Selection) -> int:
    counted = _traces(selection) if what == "traces" else select_rows(what, selection)
    rows = store.query(statement("SELECT count() AS rows", f"FROM ({counted})"), _bind(selection))
    return int(rows.column("rows").to_pylist()[0])


def _bind(selection: Selection) -> dict[str, object]:
    reach = {"from_us": microseconds(selection.start - BEYOND), "to_us": microseconds(selection.end + BEYOND)}
    return {**selection.parameters(), **reach}
