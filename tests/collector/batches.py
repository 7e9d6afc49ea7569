"""Makes OTLP batches for tests. Ids count from 1 within a trace, so that an expected value can be written down."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Value = str | bool | int | float | list[str]


@dataclass(frozen=True)
class SpanIn:
    """A span to send; `ago_s` places its start, seconds before now."""

    trace: int = 1
    span: int = 1
    parent: int = 0
    name: str = "chat small"
    ago_s: float = 10.0
    duration_ms: float = 100.0
    status: int = 1
    attributes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        return f"{self.trace:032x}"

    @property
    def span_id(self) -> str:
        return f"{self.span:016x}"


def call(**attributes: Value) -> dict[str, Value]:
    """The attributes of a model call; keywords are names with dots written as two underscores."""
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small", **named}


def make_batch(spans: Sequence[SpanIn], resource: Mapping[str, Value] | None = None) -> ExportTraceServiceRequest:
    now_ns = time.time_ns()
    batch = ExportTraceServiceRequest()
    source = batch.resource_spans.add()
    source.resource.attributes.extend(_pairs({"service.name": "app-1", **(resource or {})}))
    scope = source.scope_spans.add()
    scope.scope.name = "spanwell.proxy"  # speaks our names, so nothing is mapped
    for span in spans:
        start_ns = now_ns - int(span.ago_s * 1e9)
        scope.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=span.parent.to_bytes(8, "big") if span.parent else b"",
            name=span.name,
            kind=3,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + int(span.duration_ms * 1e6),
            attributes=_pairs(span.attributes),
            status={"code": span.status},
        )
    return batch


def _pairs(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.values.extend(AnyValue(string_value=item) for item in value)
        return made
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
