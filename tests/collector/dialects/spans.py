"""Spans for tests, and one refined."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.dialects.refine import refine
from spanwell_collector.dialects.values import read_attributes

TRACE, SPAN, PARENT = bytes(range(16)), b"\1" * 8, b"\2" * 8
BEGIN = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
MAPPING = load_mapping()


def fill(target: AnyValue, value: Any) -> None:
    """Set an AnyValue to what Python's own value says."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            fill(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            fill(target.kvlist_value.values.add(key=key).value, item)


def make_source(
    attributes: dict[str, Any], *, scope: str = "app", name: str = "span", failed: bool = False
) -> ResourceSpans:
    """One resource with one span of one second."""
    source = ResourceSpans()
    around = source.scope_spans.add()
    around.scope.name = scope
    span = around.spans.add(trace_id=TRACE, span_id=SPAN, parent_span_id=PARENT, name=name)
    span.start_time_unix_nano, span.end_time_unix_nano = BEGIN, BEGIN + SECOND
    span.status.code = 2 if failed else 0
    for key, value in attributes.items():
        fill(span.attributes.add(key=key).value, value)
    return source


def add_event(source: ResourceSpans, name: str, attributes: dict[str, Any], after_s: float = 0) -> None:
    event = span_of(source).events.add(name=name, time_unix_nano=BEGIN + int(after_s * SECOND))
    for key, value in attributes.items():
        fill(event.attributes.add(key=key).value, value)


def span_of(source: ResourceSpans) -> Span:
    span: Span = source.scope_spans[0].spans[0]
    return span


def refined(source: ResourceSpans) -> dict[str, Any]:
    """The attributes of the span when it is refined."""
    refine(source, MAPPING)
    return read_attributes(span_of(source).attributes)


def to_batch(*sources: ResourceSpans) -> bytes:
    return bytes(ExportTraceServiceRequest(resource_spans=sources).SerializeToString())
