"""Turns what a vLLM server shows at /metrics, in Prometheus' text format, into OTLP. No I/O, no clock."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from math import inf, isfinite, isnan, nan
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from spanwell.conventions import PROJECT, SERVICE_INSTANCE_ID, SERVICE_NAME
from spanwell.errors import SpanwellError
from spanwell_collector.worker.sections import Backend

SERVICE: Final = "vllm"
MOST_LINES: Final = 50_000  # a server has some 400 an engine
# Types and samples of vLLM's; what is longer than any of them is left out, for the parser is quadratic in it.
LINE: Final = re.compile(rb"^(?:#[ \t]+TYPE[ \t]+)?vllm:[^\n]{0,4000}+$", re.MULTILINE)
LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")  # no dots: none of our own attributes can be set from outside
LARGEST_COUNT: Final = 2.0**63
CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
# What older servers call it. For a while they showed both.
RENAMED: Final = {
    "vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc",
    "vllm:time_per_output_token_seconds": "vllm:inter_token_latency_seconds",
}

Labels = tuple[tuple[str, str], ...]


class UnreadableError(SpanwellError):
    """A text that is not in Prometheus' format, or too much of it."""


@dataclass
class Series:
    """One line of a histogram: how many values were at most each bound, which is infinite for the last one."""

    buckets: dict[float, float] = field(default_factory=dict)
    sum: float = nan


def read_exposition(text: bytes, backend: Backend, at_ns: int) -> ExportMetricsServiceRequest:
    """Counters, gauges and histograms named `vllm:*`, all taken at `at_ns`. Raises UnreadableError.

    A value that is negative, or no number, is left out: nothing that vLLM measures can be.
    """
    families = _parse(text)
    request = ExportMetricsServiceRequest()
    source = request.resource_metrics.add()
    about = ((SERVICE_NAME, SERVICE), (SERVICE_INSTANCE_ID, backend.instance), (PROJECT, backend.project))
    source.resource.attributes.extend(_write_attributes((key, value) for key, value in about if value))
    metrics = (_convert(family, name, at_ns) for family, name in _name(families))
    source.scope_metrics.add().metrics.extend(metric for metric in metrics if metric.WhichOneof("data"))
    return request


def is_empty(request: ExportMetricsServiceRequest) -> bool:
    """Whether a server showed nothing of what was looked for."""
    return not request.resource_metrics[0].scope_metrics[0].metrics


def _parse(text: bytes) -> list[Family]:
    lines = [match.group() for match in islice(LINE.finditer(text), MOST_LINES + 1)]
    if len(lines) > MOST_LINES:
        raise UnreadableError(f"it shows more than {MOST_LINES} lines of vllm:*")
    try:
        return list(text_string_to_metric_families(b"\n".join(lines).decode(errors="replace")))
    except (ValueError, LookupError, ArithmeticError) as error:  # the parser expects no malice
        raise UnreadableError("what it shows is not in Prometheus' text format") from error


def _name(families: list[Family]) -> Iterator[tuple[Family, str]]:
    """Each with the name to store it under; no old one where the new one is there too, and no times of creation."""
    known = {family.name for family in families}
    for family in families:
        name = RENAMED.get(family.name, family.name)
        if family.type in WRITERS and not name.endswith("_created") and (name == family.name or name not in known):
            yield family, name


def _convert(family: Family, name: str, at_ns: int) -> Metric:
    metric = Metric(name=name)
    WRITERS[family.type](metric, family, at_ns)
    return metric


def _write_gauge(metric: Metric, family: Family, at_ns: int) -> None:
    for labels, value in _read_values(family):
        metric.gauge.data_points.add(time_unix_nano=at_ns, as_double=value, attributes=_write_attributes(labels))


def _write_counter(metric: Metric, family: Family, at_ns: int) -> None:
    metric.name += "_total"  # the parser takes it off
    for labels, value in _read_values(family):
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
        metric.sum.data_points.add(time_unix_nano=at_ns, as_double=value, attributes=_write_attributes(labels))


def _write_histogram(metric: Metric, family: Family, at_ns: int) -> None:
    for labels, series in _read_series(family).items():
        bounds = sorted(series.buckets)
        counts = _count(series.buckets[bound] for bound in bounds)
        if not counts or bounds[0] == -inf or bounds[-1] != inf or isnan(series.sum):
            continue
        metric.histogram.aggregation_temporality = CUMULATIVE
        metric.histogram.data_points.add(
            time_unix_nano=at_ns,
            count=sum(counts),
            sum=series.sum,
            bucket_counts=counts,
            explicit_bounds=bounds[:-1],
            attributes=_write_attributes(labels),
        )


WRITERS: Final[Mapping[str, Callable[[Metric, Family, int], None]]] = {
    "gauge": _write_gauge,
    "counter": _write_counter,
    "histogram": _write_histogram,
}


def _read_values(family: Family) -> Iterator[tuple[Labels, float]]:
    """One of each labels, the last."""
    values = {_read_labels(sample.labels): _read_number(sample.value) for sample in family.samples}
    return ((labels, value) for labels, value in values.items() if isfinite(value))


def _read_series(family: Family) -> dict[Labels, Series]:
    found: dict[Labels, Series] = {}
    for sample in family.samples:
        labels, value = dict(sample.labels), _read_number(sample.value)
        bound = _read_bound(labels.pop("le", "")) if sample.name.endswith("_bucket") else inf
        series = found.setdefault(_read_labels(labels), Series())
        if sample.name.endswith("_sum"):
            series.sum = value
        else:  # the count is the last bucket's
            series.buckets[bound] = value
    return found


def _count(cumulative: Iterator[float]) -> list[int]:
    """How many values are in each bucket alone; nothing where that cannot be."""
    reached = [0.0, *cumulative]
    if not all(low <= high < LARGEST_COUNT and high.is_integer() for low, high in pairwise(reached)):
        return []
    return [int(high) - int(low) for low, high in pairwise(reached)]


def _read_number(value: float) -> float:
    """Not a number where it is negative, infinite, or a whole number that is too large."""
    try:
        number = float(value)
    except OverflowError:
        return nan
    return number if 0 <= number < inf else nan


def _read_bound(text: str) -> float:
    """Minus infinity where it is none, which no histogram of vLLM's has."""
    try:
        bound = float(text)
    except ValueError:
        return -inf
    return -inf if isnan(bound) else bound


def _read_labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if LABEL.fullmatch(name)))


def _write_attributes(values: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values]
