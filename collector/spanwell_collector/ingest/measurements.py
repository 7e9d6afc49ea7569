"""OTLP metrics as rows: one a data point, of the metrics that are about models."""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from spanwell.conventions import PROJECT, SERVICE_INSTANCE_ID, SERVICE_NAME
from spanwell_collector.dialects.jsontext import to_text
from spanwell_collector.dialects.values import Attributes, read_attributes
from spanwell_collector.ingest.faults import DAY_NS, NEWEST_NS

KEPT: Final = ("gen_ai.", "llm.", "spanwell.", "vllm.", "vllm:")
OLDEST_NS: Final = 30 * DAY_NS  # as long as the table keeps a row
MOST_LABELS, LONGEST_LABEL, LONGEST_NAME = 64, 256, 256
MOST_BUCKETS: Final = 512  # the SDKs stop at 160
NO_VALUE: Final = 1  # the flag of a point that only says that there is none
TEMPORALITY: Final = {1: "delta", 2: "cumulative"}
LARGEST_EXPONENT: Final = 1023  # of a double
MAX_UINT64: Final = 2**64 - 1


class MetricRow(NamedTuple):
    """A row of spanwell.metrics."""

    project: str
    ts: datetime
    name: str
    kind: str
    unit: str
    service: str
    instance: str
    labels: dict[str, str]
    value: float
    count: int = 0  # type: ignore[assignment]  # a column's name, which hides a method that nobody calls
    sum: float = 0.0
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    temporality: str = ""


class Measurements(NamedTuple):
    """`left_out` points are of other metrics, without a value, or out of the time that is kept."""

    rows: list[MetricRow]
    left_out: int


def read_metrics(requests: Iterable[ExportMetricsServiceRequest], *, project: str, now_ns: int) -> Measurements:
    """`project` is that of who names none."""
    rows: list[MetricRow] = []
    left_out = 0
    for around, metric in _each(requests):
        kind = metric.WhichOneof("data") or ""
        points = getattr(metric, kind).data_points if kind else ()
        chosen = [point for point in points if _is_kept(metric, point, now_ns)]
        left_out += len(points) - len(chosen)
        for point in chosen:
            rows.extend(READERS[kind](_describe(metric, kind, around, point, project), point))
    return Measurements(rows, left_out)


def _is_kept(metric: Metric, point: Any, now_ns: int) -> bool:
    in_time = now_ns - OLDEST_NS < point.time_unix_nano < now_ns + NEWEST_NS
    return in_time and not point.flags & NO_VALUE and metric.name.startswith(KEPT)


def _each(requests: Iterable[ExportMetricsServiceRequest]) -> Iterator[tuple[Attributes, Metric]]:
    for request in requests:
        for source in request.resource_metrics:
            around = read_attributes(source.resource.attributes)
            for scope in source.scope_metrics:
                for metric in scope.metrics:
                    yield around, metric


def _describe(metric: Metric, kind: str, around: Attributes, point: Any, project: str) -> MetricRow:
    """Everything but the numbers."""
    labels = read_attributes(point.attributes)
    return MetricRow(
        project=_name(labels.pop(PROJECT, None) or around.get(PROJECT) or project),
        ts=datetime.fromtimestamp(point.time_unix_nano / 1e9, UTC),
        name=metric.name[:LONGEST_NAME],
        kind=kind,
        unit=metric.unit[:LONGEST_NAME],
        service=_name(around.get(SERVICE_NAME) or ""),
        instance=_name(around.get(SERVICE_INSTANCE_ID) or ""),
        labels={
            name[:LONGEST_LABEL]: to_text(value)[:LONGEST_LABEL] for name, value in sorted(labels.items())[:MOST_LABELS]
        },
        value=0.0,
        temporality=TEMPORALITY.get(getattr(getattr(metric, kind), "aggregation_temporality", 0), ""),
    )


def _name(value: Any) -> str:
    return str(value)[:LONGEST_NAME]


def _read_number(row: MetricRow, point: Any) -> Iterator[MetricRow]:
    yield row._replace(value=float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double)


def _read_histogram(row: MetricRow, point: Any) -> Iterator[MetricRow]:
    bounds, buckets = tuple(point.explicit_bounds[:MOST_BUCKETS]), tuple(point.bucket_counts[: MOST_BUCKETS + 1])
    yield _with_total(row, point)._replace(bounds=bounds, buckets=buckets)


def _read_exponential(row: MetricRow, point: Any) -> Iterator[MetricRow]:
    """As explicit buckets: below the smallest bound is what is zero or negative."""
    counts = tuple(point.positive.bucket_counts[:MOST_BUCKETS])
    below = min(point.zero_count + sum(point.negative.bucket_counts), MAX_UINT64)
    step = 2.0 ** -max(-10, min(point.scale, 20))
    exponents = ((point.positive.offset + index) * step for index in range(len(counts) + 1))
    bounds = tuple(2.0 ** max(-LARGEST_EXPONENT, min(exponent, LARGEST_EXPONENT)) for exponent in exponents)
    yield _with_total(row, point)._replace(bounds=bounds, buckets=(below, *counts, 0))


def _read_summary(row: MetricRow, point: Any) -> Iterator[MetricRow]:
    """A row for each quantile, which is a label as Prometheus writes it."""
    total = _with_total(row, point)
    if not point.quantile_values:
        yield total
    for quantile in point.quantile_values[:MOST_BUCKETS]:
        yield total._replace(labels=row.labels | {"quantile": f"{quantile.quantile:g}"}, value=quantile.value)


def _with_total(row: MetricRow, point: Any) -> MetricRow:
    mean = point.sum / point.count if point.count else math.nan
    return row._replace(count=point.count, sum=point.sum, value=mean)


READERS: Final = {
    "gauge": _read_number,
    "sum": _read_number,
    "histogram": _read_histogram,
    "exponential_histogram": _read_exponential,
    "summary": _read_summary,
}
