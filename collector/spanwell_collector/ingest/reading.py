"""Shows a record to a person: the request in it as OTLP/JSON, with its ids in hex."""

import base64
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell_collector.ingest.records import LOGS, METRICS, TRACES, read_record

REQUESTS: Final[dict[bytes, type[Message]]] = {
    TRACES: ExportTraceServiceRequest,
    LOGS: ExportLogsServiceRequest,
    METRICS: ExportMetricsServiceRequest,
}
IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


def to_plain(record: bytes) -> Any:
    """The request as JSON has it; of a record that cannot be read, its bytes in hex."""
    kind, payload = read_record(record)
    try:
        return _with_hex_ids(MessageToDict(REQUESTS[kind].FromString(payload), use_integers_for_enums=True))
    except (DecodeError, KeyError):
        return record.hex()


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in IDS and isinstance(item, str) else _with_hex_ids(item)
            for key, item in value.items()
        }
    return value
