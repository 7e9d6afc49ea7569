"""Holds the tables of `wire.py` against the recordings: `python check.py` prints each fact that is where it should not
be, or not where it should be. Needs opentelemetry-proto. Coarse: it looks for values, not for keys.
"""

import json
import sys
from pathlib import Path
from typing import Any

from look import attributes_of, value_of
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FIXTURES = Path(__file__).parent.parent / "fixtures"
FACTS = ["response_id", "request_model", "response_model", "input_tokens", "output_tokens", "cached_tokens"]
FACTS += ["cache_write_tokens", "reasoning_tokens", "provider", "user_id", "session_id", "input_contains"]
FACTS += ["output_contains"]
MARKS = {
    "unary": ["capital of France?"],
    "streamed": ["Count to three"],
    "tool": ["What is the weather"],
    "failing": ["please fail", "api_error"],
    "embeddings": ["text-embedding-3-small"],
}


def texts_of(value: Any) -> list[str]:
    """Every scalar within, JSON text unpacked, so that 50 is not found in 150 nor a model in its dated name."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts_of(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_of(part)]
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return texts_of(json.loads(value))
        except ValueError:
            pass
    return [str(value).lower()]


def spans_of(fixture: str) -> dict[bytes, tuple[bytes, set[str]]]:
    """Per span id: its parent and all the values it, its events and its log records hold."""
    spans: dict[bytes, tuple[bytes, set[str]]] = {}
    traces = ExportTraceServiceRequest.FromString((FIXTURES / f"{fixture}.traces.pb").read_bytes())
    for span in (span for group in traces.resource_spans for scope in group.scope_spans for span in scope.spans):
        held = [attributes_of(span.attributes), *(attributes_of(event.attributes) for event in span.events)]
        spans[span.span_id] = (span.parent_span_id, set(texts_of(held)))
    logs = FIXTURES / f"{fixture}.logs.pb"
    request = ExportLogsServiceRequest.FromString(logs.read_bytes() if logs.exists() else b"")
    for group in request.resource_logs:
        for record in (record for scope in group.scope_logs for record in scope.log_records):
            spans[record.span_id][1].update(texts_of([value_of(record.body), attributes_of(record.attributes)]))
    return spans


def held_by_call(call: dict[str, Any], spans: dict[bytes, tuple[bytes, set[str]]]) -> set[str]:
    """What the spans that are this call's hold, and their parents."""
    marks = [mark for mark in (call["response_id"], *MARKS.get(call["label"], ())) if mark]
    held: set[str] = set()
    for parent, texts in spans.values():
        if not any(mark.lower() in text for mark in marks for text in texts):
            continue
        held |= texts
        while parent in spans:
            parent, above = spans[parent]
            held |= above
    return held


def differences(fixture: str) -> list[str]:
    truth, spans = json.loads((FIXTURES / f"{fixture}.truth.json").read_text()), spans_of(fixture)
    lines = []
    for call in truth["calls"]:
        held = held_by_call(call, spans)
        for fact in (fact for fact in FACTS if call[fact]):
            present = is_held(str(call[fact]).lower(), held)
            missing = bool({fact, "call"} & {*call["missing"]})
            if present == missing:
                lines.append(f"{fixture} {call['label']}: {fact} {call[fact]!r} is {'' if present else 'not '}there")
    return lines


def is_held(wanted: str, held: set[str]) -> bool:
    """A text may be part of one held; `openai` is also spelt `OpenAI` and `openai.chat`."""
    return any(wanted in (text, text.partition(".")[0]) or (" " in wanted and wanted in text) for text in held)


if __name__ == "__main__":
    names = sorted(path.name.removesuffix(".truth.json") for path in FIXTURES.glob("*.truth.json"))
    sys.stdout.write("".join(f"{line}\n" for name in names for line in differences(name)))
