"""Prints recordings in a readable form: `python look.py FILE.traces.pb ...`. Needs opentelemetry-proto."""

import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value_of(value: Any) -> Any:
    """An AnyValue as Python's own types."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(part) for part in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in pairs}


def lines_of(attributes: dict[str, Any], indent: str) -> list[str]:
    return [f"{indent}{key} = {value!r}" for key, value in attributes.items()]


def span_lines(span: Any) -> list[str]:
    ids = f"{span.trace_id.hex()[:6]}/{span.span_id.hex()[:6]}<{span.parent_span_id.hex()[:6]}"
    ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    lines = [
        f"  SPAN {span.name!r} {ids} kind={span.kind} {ms:.1f}ms status={span.status.code} {span.status.message!r}"
    ]
    lines += lines_of(attributes_of(span.attributes), "      ")
    for event in span.events:
        lines += [f"      EVENT {event.name}", *lines_of(attributes_of(event.attributes), "          ")]
    return lines


def traces(payload: bytes) -> list[str]:
    lines = []
    for group in ExportTraceServiceRequest.FromString(payload).resource_spans:
        lines += ["RESOURCE", *lines_of(attributes_of(group.resource.attributes), "  ")]
        for scope in group.scope_spans:
            lines.append(f" SCOPE {scope.scope.name} {scope.scope.version}")
            lines += [line for span in scope.spans for line in span_lines(span)]
    return lines


def logs(payload: bytes) -> list[str]:
    lines = []
    for group in ExportLogsServiceRequest.FromString(payload).resource_logs:
        lines += ["RESOURCE", *lines_of(attributes_of(group.resource.attributes), "  ")]
        for scope in group.scope_logs:
            lines.append(f" SCOPE {scope.scope.name} {scope.scope.version}")
            for record in scope.log_records:
                ids = f"{record.trace_id.hex()[:6]}/{record.span_id.hex()[:6]}"
                lines.append(f"  LOG event_name={record.event_name!r} {ids} body={value_of(record.body)!r}")
                lines += lines_of(attributes_of(record.attributes), "      ")
    return lines


def metrics(payload: bytes) -> list[str]:
    request = ExportMetricsServiceRequest.FromString(payload)
    scopes = [scope for group in request.resource_metrics for scope in group.scope_metrics]
    return [f"  METRIC {MessageToDict(metric)}" for scope in scopes for metric in scope.metrics]


READERS = {"traces": traces, "logs": logs, "metrics": metrics}

if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        signal = path.name.split(".")[-2]
        sys.stdout.write("\n".join([f"=== {path.name}", *READERS[signal](path.read_bytes()), ""]))
