"""The three kinds of telemetry: where each arrives, and the messages it is asked and answered with."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanwell_collector.ingest.records import LOGS, METRICS, TRACES


class Signal(NamedTuple):
    """`kind` is the first byte of its records in the journal; `rejected` the field that says what was left out."""

    name: str
    kind: bytes
    path: str
    service: str
    request: type[Message]
    response: type[Message]
    rejected: str
    rejected_json: str
    count: Callable[[Any], int]


def _count_spans(request: ExportTraceServiceRequest) -> int:
    return sum(len(scope.spans) for source in request.resource_spans for scope in source.scope_spans)


def _count_log_records(request: ExportLogsServiceRequest) -> int:
    return sum(len(scope.log_records) for source in request.resource_logs for scope in source.scope_logs)


def _count_metrics(request: ExportMetricsServiceRequest) -> int:
    return sum(len(scope.metrics) for source in request.resource_metrics for scope in source.scope_metrics)


PACKAGE: Final = "opentelemetry.proto.collector"
SIGNALS: Final = (
    Signal(
        "traces",
        TRACES,
        "/v1/traces",
        f"{PACKAGE}.trace.v1.TraceService",
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "rejected_spans",
        "rejectedSpans",
        _count_spans,
    ),
    Signal(
        "logs",
        LOGS,
        "/v1/logs",
        f"{PACKAGE}.logs.v1.LogsService",
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "rejected_log_records",
        "rejectedLogRecords",
        _count_log_records,
    ),
    Signal(
        "metrics",
        METRICS,
        "/v1/metrics",
        f"{PACKAGE}.metrics.v1.MetricsService",
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        "rejected_data_points",
        "rejectedDataPoints",
        _count_metrics,
    ),
)
LANGFUSE_PATH: Final = "/api/public/otel/v1/traces"  # where Langfuse's SDK posts below the host it is given
BY_PATH: Final[Mapping[str, Signal]] = {signal.path: signal for signal in SIGNALS} | {LANGFUSE_PATH: SIGNALS[0]}
