"""Metrics of requests: as one row a window, one a bucket of time, or one a value of a dimension."""

from datetime import timedelta
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.selection import Selection, statement
from spanwell_collector.registry import METRICS, REQUESTS
from spanwell_collector.store.client import Store

MAX_BUCKETS: Final = 200
BUCKETS_SECONDS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800,
)  # fmt: skip
GROUPS: Final = 12  # more lines than this cannot be told apart on a chart
OTHER: Final = "other"
BUCKET: Final = "toDateTime64(intDiv(toUnixTimestamp(ts), {bucket:UInt32}) * {bucket:UInt32}, 0, 'UTC')"


class Series(NamedTuple):
    rows: pa.Table
    bucket_seconds: int


def get_overview(store: Store, selection: Selection) -> pa.Table:
    """Every metric over the selection and over the window before it, two rows."""
    windows = [("current", selection), ("previous", selection.previous())]
    return pa.concat_tables([_get_window(store, name, window) for name, window in windows])


def _get_window(store: Store, name: str, selection: Selection) -> pa.Table:
    sql = statement(
        "SELECT {window:String} AS window,",
        _measure(list(METRICS)) + ",",
        "max(simulated) AS simulated",
        "FROM spanwell.spans",
        f"WHERE {selection.where()} AND {REQUESTS}",
    )
    rows = store.query(sql, {"window": name, **selection.parameters()})
    return rows.rename_columns(["window", *METRICS, "simulated"])


def get_series(
    store: Store, selection: Selection, metrics: list[str], *, by: str | None, bucket_seconds: int | None
) -> Series:
    """The metrics a bucket of time; with `by`, also a group, where all but the largest groups are one: other."""
    seconds = bucket_seconds or choose_bucket(selection.length)
    where = f"{selection.where()} AND {REQUESTS}"
    sql = statement(
        f"SELECT {BUCKET} AS bucket,",
        _fold(by, where) if by else "",
        _measure(metrics),
        "FROM spanwell.spans",
        f"WHERE {where}",
        "GROUP BY bucket" + (", grp" if by else ""),
        "ORDER BY bucket" + (", grp" if by else ""),
    )
    rows = store.query(sql, {"bucket": seconds, **selection.parameters()})
    return Series(rows.rename_columns(["ts", *([by] if by else []), *metrics]), seconds)


def _fold(by: str, where: str) -> str:
    largest = statement(
        f"SELECT {by}",
        "FROM spanwell.spans",
        f"WHERE {where}",
        f"GROUP BY {by} ORDER BY count() DESC, {by} LIMIT {GROUPS}",
    )
    return f"if({by} IN ({largest}), {by}, '{OTHER}') AS grp,"


def choose_bucket(length: timedelta) -> int:
    """The shortest round bucket, in seconds, that cuts `length` into MAX_BUCKETS at most."""
    fitting = (seconds for seconds in BUCKETS_SECONDS if length.total_seconds() / seconds <= MAX_BUCKETS - 1)
    return next(fitting, BUCKETS_SECONDS[-1])


def get_breakdown(store: Store, selection: Selection, metrics: list[str], *, by: str, limit: int) -> pa.Table:
    """The metrics a value of `by`, largest first metric first."""
    sql = statement(
        f"SELECT {by} AS grp,",
        _measure(metrics),
        "FROM spanwell.spans",
        f"WHERE {selection.where()} AND {REQUESTS}",
        f"GROUP BY grp ORDER BY m_{metrics[0]} DESC NULLS LAST, grp LIMIT {{limit:UInt32}}",
    )
    rows = store.query(sql, {"limit": limit, **selection.parameters()})
    return rows.rename_columns([by, *metrics])


def get_values(store: Store, selection: Selection, dimension: str) -> pa.Table:
    """The values a dimension takes, most used first."""
    sql = statement(
        f"SELECT {dimension} AS value, count() AS requests",
        "FROM spanwell.spans",
        f"WHERE {selection.where()} AND {REQUESTS} AND value != ''",
        "GROUP BY value ORDER BY requests DESC, value LIMIT 1000",
    )
    return store.query(sql, selection.parameters())


def _measure(metrics: list[str]) -> str:
    # Aliases stand apart from columns, or `sum(input_tokens) AS input_tokens` would aggregate an aggregate.
    return ", ".join(f"{METRICS[name].sql} AS m_{name}" for name in metrics)
