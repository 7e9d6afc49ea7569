"""Spans as OTLP/HTTP protobuf: values in, bytes out. The sender retries; it neither blocks nor grows without bound."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from spanwell.conventions import BATCH_DROPPED, BATCH_FIRST, BATCH_SPANS

Value = str | bool | int | float | Sequence[str]

INTERNAL = SpanMessage.SPAN_KIND_INTERNAL
SERVER = SpanMessage.SPAN_KIND_SERVER
CLIENT = SpanMessage.SPAN_KIND_CLIENT
UNSET = Status.STATUS_CODE_UNSET
OK = Status.STATUS_CODE_OK
ERROR = Status.STATUS_CODE_ERROR


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span; ids are bytes, times are nanoseconds since 1970."""

    trace_id: bytes
    span_id: bytes
    name: str
    start_ns: int
    end_ns: int
    parent_id: bytes = b""
    kind: SpanMessage.SpanKind.ValueType = INTERNAL
    status: Status.StatusCode.ValueType = UNSET
    message: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Producer:
    """Who sends: the resource of every batch, and the name of the instrumentation."""

    resource: Mapping[str, Value]
    scope: str


def encode_batch(producer: Producer, spans: Sequence[Span], first: int, dropped: int = 0) -> bytes:
    """One export request, gzipped. `first` and `dropped` are the ledger's: the number of the batch's first span since
    the producer started, and how many spans it has lost."""
    ledger: dict[str, Value] = {BATCH_FIRST: first, BATCH_SPANS: len(spans), BATCH_DROPPED: dropped}
    group = ResourceSpans(
        resource=Resource(attributes=_attributes({**producer.resource, **ledger})),
        scope_spans=[
            ScopeSpans(scope=InstrumentationScope(name=producer.scope), spans=[_message(span) for span in spans])
        ],
    )
    body: bytes = ExportTraceServiceRequest(resource_spans=[group]).SerializeToString()
    return gzip.compress(body, compresslevel=1, mtime=0)


def _message(span: Span) -> SpanMessage:
    return SpanMessage(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        status=Status(code=span.status, message=span.message),
        flags=0x01,
    )


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))
