"""OTLP metrics as rows."""

import math
import time
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from spanwell_collector.ingest.measurements import Measurements, read_metrics

NOW_NS = time.time_ns()
RECORDED = Path("tests/collector/dialects/fixtures/openllmetry_openai.metrics.pb")


def _read(*metrics: Metric) -> Measurements:
    request = ExportMetricsServiceRequest()
    source = request.resource_metrics.add()
    source.resource.attributes.add(key="service.name").value.string_value = "vllm"
    source.scope_metrics.add().metrics.extend(metrics)
    return read_metrics([request], project="default", now_ns=NOW_NS)


def test_recorded_metrics_are_read() -> None:
    request = ExportMetricsServiceRequest.FromString(RECORDED.read_bytes())
    first = request.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]

    measurements = read_metrics([request], project="default", now_ns=first.time_unix_nano)

    tokens = [row for row in measurements.rows if row.name == "gen_ai.client.token.usage"]
    assert {row.labels["gen_ai.token.type"] for row in tokens} == {"input", "output"}
    assert all(sum(row.buckets) == row.count and len(row.buckets) == len(row.bounds) + 1 for row in tokens)


def test_a_gauge_has_its_number_labels_and_service() -> None:
    metric = Metric(name="vllm:num_requests_running", unit="1")
    point = metric.gauge.data_points.add(time_unix_nano=NOW_NS, as_int=3)
    point.attributes.add(key="model_name").value.string_value = "small"

    [row] = _read(metric).rows

    assert (row.kind, row.value, row.service, row.labels) == ("gauge", 3.0, "vllm", {"model_name": "small"})


def test_an_exponential_histogram_becomes_explicit_buckets() -> None:
    metric = Metric(name="gen_ai.client.operation.duration")
    point = metric.exponential_histogram.data_points.add(time_unix_nano=NOW_NS, count=6, sum=20, zero_count=1)
    point.positive.offset = 1
    point.positive.bucket_counts.extend([2, 3])

    [row] = _read(metric).rows

    assert (row.bounds, row.buckets) == ((2.0, 4.0, 8.0), (1, 2, 3, 0))
    assert math.isclose(row.value, 20 / 6)


def test_a_summary_is_a_row_a_quantile() -> None:
    metric = Metric(name="gen_ai.server.request.duration")
    point = metric.summary.data_points.add(time_unix_nano=NOW_NS, count=10, sum=5)
    point.quantile_values.add(quantile=0.5, value=0.4)
    point.quantile_values.add(quantile=0.99, value=0.9)

    rows = _read(metric).rows

    assert [(row.labels["quantile"], row.value, row.count) for row in rows] == [("0.5", 0.4, 10), ("0.99", 0.9, 10)]


def test_metrics_about_no_model_points_without_value_and_old_ones_are_left_out() -> None:
    other, silent, old = Metric(name="http.server.duration"), Metric(name="vllm:a"), Metric(name="vllm:b")
    other.gauge.data_points.add(time_unix_nano=NOW_NS)
    silent.gauge.data_points.add(time_unix_nano=NOW_NS, flags=1)
    old.gauge.data_points.add(time_unix_nano=1)

    assert _read(other, silent, old, Metric(name="vllm:empty")) == Measurements([], 3)
