"""Where numbers of requests are read from: spans, or the sums of whole hours where a window is long enough.

Sums are exact but for percentiles (from digests, within a percent of rank) and distinct counts (within two percent).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from spanwell_collector.queries.selection import WINDOW, Selection, field_names, statement
from spanwell_collector.registry import PERCENTILE, REQUESTS, Field, find_metric
from spanwell_collector.rollups.read import USAGE_METRICS, covers, select_usage
from spanwell_collector.store.client import Store

# Fewer spans are as fast, and exact to the last digit: 19 metrics of 120,000 spans took 80 ms and of their sums 110, of
# 290,000 spans 190 ms and of sums 150, of 1,250,000 spans 1,400 ms and of sums 220. A part of an hour has no sum.
SUMMED_FROM_SPANS: Final = 250_000
SUMMED_FROM: Final = timedelta(hours=2)
ESTIMATE: Final = statement("EXPLAIN ESTIMATE SELECT ts", "FROM spanwell.spans", f"WHERE {WINDOW}")
BUCKET: Final = "toDateTime64(intDiv(toUnixTimestamp({column}), {{bucket:UInt32}}) * {{bucket:UInt32}}, 0, 'UTC')"


class Source(NamedTuple):
    """What to put after FROM and WHERE, and how a metric and a bucket of time are taken from it."""

    relation: str
    where: str
    parameters: dict[str, Any]
    bucket: str
    measure: Callable[[str, Sequence[str]], str]

    def measure_all(self, metrics: Sequence[str]) -> str:
        """The select list; each alias is the metric's name after `m_`."""
        # Aliases stand apart from columns, or `sum(input_tokens) AS input_tokens` would aggregate an aggregate.
        return ", ".join(f"{self.measure(name, metrics)} AS m_{name}" for name in metrics)


def choose_source(
    store: Store, selection: Selection, metrics: Sequence[str], by: Field | None = None, bucket_seconds: int = 0
) -> Source:
    """Sums for a long window, when they know every field and metric that is asked for; else spans."""
    (source,) = choose_sources(store, [selection], metrics, by, bucket_seconds)
    return source


def choose_sources(
    store: Store,
    selections: Sequence[Selection],
    metrics: Sequence[str],
    by: Field | None = None,
    bucket_seconds: int = 0,
) -> list[Source]:
    """The same kind of source for all, so that their numbers can be compared."""
    names = set[str]().union(*(field_names(one.filters) for one in selections), {by.name} if by else ())
    listed = [name for name in metrics if not PERCENTILE.fullmatch(name)]
    is_summed = covers(names, listed, bucket_seconds=bucket_seconds) and any(is_long(store, one) for one in selections)
    return [read_sums(store, one) if is_summed else read_spans(one) for one in selections]


def is_long(store: Store, selection: Selection) -> bool:
    """Whether sums are read faster than the spans of the window, by what the primary index knows of their number."""
    if selection.length < SUMMED_FROM:
        return False
    rows = store.query(ESTIMATE, selection.parameters())
    return int(sum(rows.column("rows").to_pylist())) >= SUMMED_FROM_SPANS


def read_spans(selection: Selection) -> Source:
    return Source(
        "spanwell.spans",
        f"{selection.where()} AND {REQUESTS}",
        selection.parameters(),
        BUCKET.format(column="ts"),
        measure_spans,
    )


def read_sums(store: Store, selection: Selection) -> Source:
    usage = select_usage(store, selection.project, selection.start, selection.end)
    return Source(
        usage.relation,
        selection.matches(),
        {**selection.parameters(), **usage.parameters},
        BUCKET.format(column="hour"),
        measure_sums,
    )


def measure_spans(name: str, _beside: Sequence[str]) -> str:
    """The aggregate over spans; `name` was checked before."""
    metric = find_metric(name)
    assert metric is not None, name
    return metric.sql


def measure_sums(name: str, beside: Sequence[str]) -> str:
    """The aggregate over sums; `name` was checked before. Percentiles of one digest are taken from it together."""
    found = PERCENTILE.fullmatch(name)
    if found is None:
        return USAGE_METRICS[name]
    alike = [other for other in map(PERCENTILE.fullmatch, beside) if other and other[1] == found[1]]
    levels = sorted({int(other[2]) for other in [*alike, found]})
    merged = f"quantilesTDigestMerge({', '.join(str(level / 100) for level in levels)})"
    return f"toFloat64({merged}({'ttft' if found[1] else 'duration'})[{levels.index(int(found[2])) + 1}])"
