"""Metrics of requests: as one row a window, one a bucket of time, or one a value of a dimension."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.selection import WINDOW, Selection, bind_key, express, statement
from spanwell_collector.queries.sources import Source, choose_source, choose_sources
from spanwell_collector.registry import Field
from spanwell_collector.store.client import Store

MAX_BUCKETS: Final = 200
BUCKETS_SECONDS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800,
)  # fmt: skip
GROUPS: Final = 12  # more lines than this cannot be told apart on a chart
OTHER: Final = "other"
BY_KEY: Final = "by_key"
SIMULATED: Final = statement(
    "SELECT count() > 0 AS simulated",
    "FROM (SELECT 1",
    "FROM spanwell.spans",
    f"WHERE {WINDOW} AND simulated LIMIT 1)",
)


class Series(NamedTuple):
    rows: pa.Table
    bucket_seconds: int


def get_overview(store: Store, selection: Selection, metrics: Sequence[str]) -> pa.Table:
    """The metrics over the selection and over the window before it, two rows."""
    windows = (selection, selection.previous())
    sources = choose_sources(store, windows, metrics)
    named = zip(("current", "previous"), windows, sources, strict=True)
    return pa.concat_tables([_get_window(store, name, window, source, metrics) for name, window, source in named])


def _get_window(store: Store, name: str, selection: Selection, source: Source, metrics: Sequence[str]) -> pa.Table:
    sql = statement(
        f"SELECT {{window:String}} AS window, {source.measure_all(metrics)}",
        f"FROM {source.relation}",
        f"WHERE {source.where}",
    )
    rows = store.query(sql, {**source.parameters, "window": name}).rename_columns(["window", *metrics])
    simulated = store.query(SIMULATED, selection.parameters()).column("simulated")
    return rows.append_column("simulated", simulated.cast(pa.bool_()))


def get_totals(store: Store, source: Source, metrics: Sequence[str]) -> pa.Table:
    """The metrics over a source, one row."""
    sql = statement(f"SELECT {source.measure_all(metrics)}", f"FROM {source.relation}", f"WHERE {source.where}")
    return store.query(sql, source.parameters).rename_columns(list(metrics))


def get_series(
    store: Store, selection: Selection, metrics: Sequence[str], *, by: Field | None, bucket_seconds: int | None
) -> Series:
    """The metrics a bucket of time; with `by`, also a group, where all but the largest groups are one: other."""
    seconds = bucket_seconds or choose_bucket(selection.length)
    source = choose_source(store, selection, metrics, by, seconds)
    sql = statement(
        f"SELECT {source.bucket} AS bucket,",
        _fold(by, source) if by else "",
        source.measure_all(metrics),
        f"FROM {source.relation}",
        f"WHERE {source.where}",
        "GROUP BY bucket" + (", grp" if by else ""),
        "ORDER BY bucket" + (", grp" if by else ""),
    )
    rows = store.query(sql, {**source.parameters, **_bind(by), "bucket": seconds})
    return Series(rows.rename_columns(["ts", *([by.name] if by else []), *metrics]), seconds)


def _fold(by: Field, source: Source) -> str:
    group = express(by, BY_KEY)
    largest = statement(
        f"SELECT {group} AS largest",
        f"FROM {source.relation}",
        f"WHERE {source.where}",
        f"GROUP BY largest ORDER BY {source.measure('requests', ())} DESC, largest LIMIT {GROUPS}",
    )
    return f"if({group} IN ({largest}), {group}, '{OTHER}') AS grp,"


def choose_bucket(length: timedelta) -> int:
    """The shortest round bucket, in seconds, that cuts `length` into MAX_BUCKETS at most."""
    fitting = (seconds for seconds in BUCKETS_SECONDS if length.total_seconds() / seconds <= MAX_BUCKETS - 1)
    return next(fitting, BUCKETS_SECONDS[-1])


def get_breakdown(store: Store, selection: Selection, metrics: Sequence[str], *, by: Field, limit: int) -> pa.Table:
    """The metrics a value of `by`, largest first metric first."""
    return break_down(store, choose_source(store, selection, metrics, by), metrics, by=by, limit=limit)


def break_down(store: Store, source: Source, metrics: Sequence[str], *, by: Field, limit: int) -> pa.Table:
    """The same over a source."""
    sql = statement(
        f"SELECT {express(by, BY_KEY)} AS grp,",
        source.measure_all(metrics),
        f"FROM {source.relation}",
        f"WHERE {source.where}",
        f"GROUP BY grp ORDER BY m_{metrics[0]} DESC NULLS LAST, grp LIMIT {{limit:UInt32}}",
    )
    rows = store.query(sql, {**source.parameters, **_bind(by), "limit": limit})
    return rows.rename_columns([by.name, *metrics])


def get_values(store: Store, selection: Selection, dimension: Field) -> pa.Table:
    """The values a dimension takes, most used first."""
    source = choose_source(store, selection, ["requests"], dimension)
    sql = statement(
        f"SELECT {express(dimension, BY_KEY)} AS value, {source.measure('requests', ())} AS m_requests",
        f"FROM {source.relation}",
        f"WHERE {source.where} AND value != ''",
        "GROUP BY value ORDER BY m_requests DESC, value LIMIT 1000",
    )
    rows = store.query(sql, {**source.parameters, **_bind(dimension)})
    return rows.rename_columns(["value", "requests"])


def _bind(by: Field | None) -> dict[str, str]:
    return bind_key(by, BY_KEY) if by else {}
