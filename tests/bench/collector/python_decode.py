"""The other way to do it, for comparison: decode OTLP in Python, and send the finished columns as Arrow.

It fills the same columns of the same tables; it is written as fast as we could make it.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import chdb
import orjson
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TEXT_COLUMNS: Final = {
    "error.type": "error_type",
    "gen_ai.operation.name": "operation",
    "gen_ai.provider.name": "provider",
    "gen_ai.request.model": "request_model",
    "gen_ai.response.model": "model",
    "gen_ai.response.id": "response_id",
    "gen_ai.response.finish_reasons": "finish_reason",
    "user.id": "user_id",
    "session.id": "session_id",
    "gen_ai.agent.name": "agent",
    "gen_ai.prompt.name": "prompt_name",
    "gen_ai.prompt.version": "prompt_version",
    "gen_ai.tool.name": "tool",
    "spanwell.cache": "cache",
    "spanwell.duplicate_of": "duplicate_of",
    "spanwell.release": "release",
    "spanwell.service_tier": "service_tier",
    "spanwell.usage.basis": "usage_basis",
    "spanwell.deployment": "deployment",
    "spanwell.key.id": "key_id",
    "spanwell.price_version": "price_version",
    "spanwell.purpose": "purpose",
    "spanwell.team": "team",
}
NUMBER_COLUMNS: Final = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cached_tokens",
    "gen_ai.usage.cache_write.input_tokens": "cache_write_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
    "http.response.status_code": "http_status",
    "spanwell.attempts": "attempts",
}
MAP: Final = pa.map_(pa.string(), pa.string())
EVENTS: Final = pa.list_(
    pa.struct([("ts", pa.timestamp("us", "UTC")), ("name", pa.string()), ("attributes", MAP)]),
)
USD: Final = pa.decimal128(18, 12)
ARROW_TYPES: Final = {
    "attributes": MAP,
    "cost_usd": USD,
    "events": EVENTS,
    "reported_cost_usd": USD,
    "resource": MAP,
    "saved_usd": USD,
    "tags": pa.list_(pa.string()),
    "usage": pa.map_(pa.string(), pa.uint64()),
}
USAGE_KINDS: Final = {
    "spanwell.usage.cache_write_1h.input_tokens": "cache_write_1h",
    "gen_ai.usage.audio.input_tokens": "audio_input",
    "gen_ai.usage.audio.output_tokens": "audio_output",
    "gen_ai.usage.image.input_tokens": "image_input",
    "gen_ai.usage.image.output_tokens": "image_output",
}
KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")


class PythonWriter:
    """Inserts batches into the store at `path`, which this process has opened already."""

    def __init__(self, path: str) -> None:
        self._connection: Any = chdb.connect(path)  # type: ignore[no-untyped-call]

    def insert(self, batches: Sequence[bytes], token: str) -> None:
        """Decode, make columns, and insert spans, texts and the index of traces."""
        spans, texts = _decode(b"".join(batches))
        self._send("spans", spans, token)
        if texts["span_id"]:
            self._send("texts", texts, token)
        self._send("trace_index", _index(spans), token)

    def _send(self, table: str, columns: dict[str, list[Any]], token: str) -> None:
        arrow = pa.table({name: pa.array(values, type=ARROW_TYPES.get(name)) for name, values in columns.items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as stream:
            stream.write_table(arrow)
        names = ", ".join(columns)
        insert = f"INSERT INTO spanwell.{table} ({names}) SETTINGS insert_deduplication_token = '{token}'"
        with self._connection.send_insert(insert, "ArrowStream") as sending:
            sending.append(sink.getvalue().to_pybytes())
            sending.finish()

    def close(self) -> None:
        self._connection.close()


def _decode(body: bytes) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    spans: dict[str, list[Any]] = defaultdict(list)
    texts: dict[str, list[Any]] = {name: [] for name in ("project", "ts", "trace_id", "span_id", "input", "output")}
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {pair.key: _value(pair.value) for pair in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                _add(span, resource, scope_spans.scope.name, spans, texts)
    return spans, texts


def _add(span: Any, resource: dict[str, Any], scope: str, spans: dict[str, list[Any]], texts: dict[str, Any]) -> None:
    tags = {pair.key: _value(pair.value) for pair in span.attributes}
    started = datetime.fromtimestamp(span.start_time_unix_nano / 1e9, UTC)
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    asked, said = tags.pop("gen_ai.input.messages", ""), tags.pop("gen_ai.output.messages", "")
    cost_usd = tags.pop("spanwell.cost_usd", None)
    row = {
        "project": tags.pop("spanwell.project", "") or resource.get("spanwell.project", "") or "bench",
        "ts": started,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": KINDS[span.kind],
        "status": STATUSES[span.status.code],
        "status_message": span.status.message,
        "service": resource.get("service.name", ""),
        "app": tags.pop("spanwell.app", "") or resource.get("service.name", ""),
        "environment": resource.get("deployment.environment.name", ""),
        "duration_ms": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        "scope": scope,
        **{column: str(tags.pop(name, "")) for name, column in TEXT_COLUMNS.items()},
        **{column: int(tags.pop(name, 0)) for name, column in NUMBER_COLUMNS.items()},
        "ttft_ms": tags.pop("gen_ai.response.time_to_first_chunk", 0.0) * 1000,
        "stream": bool(tags.pop("gen_ai.request.stream", False)),
        "simulated": tags.pop("spanwell.simulated", False),
        "dialect": "spanwell",
        "usage": [(kind, tags.pop(name)) for name, kind in USAGE_KINDS.items() if name in tags],
        "tags": orjson.loads(tags.pop("spanwell.tags", "[]")),
        "cost_usd": _money(cost_usd),
        "cost_source": "reported" if cost_usd else "",
        "reported_cost_usd": _money(tags.pop("spanwell.reported_cost_usd", None)),
        "saved_usd": _money(tags.pop("spanwell.saved_usd", None)),
        "events": [_event(event) for event in span.events],
        "resource": [(name, str(value)) for name, value in resource.items()],
        "attributes": [(name, str(value)) for name, value in tags.items()],
    }
    for column, value in row.items():
        spans[column].append(value)
    if asked or said:
        for column, value in zip(texts, ("bench", started, trace_id, span_id, asked, said), strict=True):
            texts[column].append(value)


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _event(event: Any) -> dict[str, Any]:
    attributes = [(pair.key, str(_value(pair.value))) for pair in event.attributes]
    return {"ts": datetime.fromtimestamp(event.time_unix_nano / 1e9, UTC), "name": event.name, "attributes": attributes}


def _index(spans: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"trace_id": spans["trace_id"], "first_ts": spans["ts"], "last_ts": spans["ts"]}


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
