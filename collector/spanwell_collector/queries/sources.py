"""Where numbers of requests are read from: spans, or the sums of whole hours where a window is long enough.

Sums are exact but for percentiles (from digests, within a percent of rank) and distinct counts (within two percent).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from spanwell_collector.queries.selection import Selection, field_names
from spanwell_collector.registry import PERCENTILE, REQUESTS, Field, find_metric
from spanwell_collector.rollups.read import USAGE_METRICS, covers, select_usage
from spanwell_collector.store.client import Store

# Below this spans are as fast and exact to the last digit; see docs/benchmarks.md for the crossover.
SUMMED_FROM: Final = timedelta(hours=24)
BUCKET: Final = "toDateTime64(intDiv(toUnixTimestamp({column}), {{bucket:UInt32}}) * {{bucket:UInt32}}, 0, 'UTC')"


class Source(NamedTuple):
    """What to put after FROM and WHERE, and how a metric and a bucket of time are taken from it."""

    relation: str
    where: str
    parameters: dict[str, Any]
    bucket: str
    measure: Callable[[str], str]


def choose_source(
    store: Store, selection: Selection, metrics: Sequence[str], by: Field | None = None, bucket_seconds: int = 0
) -> Source:
    """Sums for a long window, when they know every field and metric that is asked for; else spans."""
    names = field_names(selection.filters) | ({by.name} if by else set())
    listed = [name for name in metrics if not PERCENTILE.fullmatch(name)]
    if selection.length > SUMMED_FROM and covers(names, listed, bucket_seconds=bucket_seconds):
        return read_sums(store, selection)
    return read_spans(selection)


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


def measure_spans(name: str) -> str:
    """The aggregate over spans; `name` was checked before."""
    metric = find_metric(name)
    assert metric is not None, name
    return metric.sql


def measure_sums(name: str) -> str:
    """The aggregate over sums; `name` was checked before."""
    found = PERCENTILE.fullmatch(name)
    if found is None:
        return USAGE_METRICS[name]
    return f"quantileTDigestMerge({int(found[2]) / 100})({'ttft' if found[1] else 'duration'})"
