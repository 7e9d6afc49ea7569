"""What log events become: texts of their spans, scores, or nothing."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from spanwell_collector.ingest.events import Events, read_events
from spanwell_collector.ingest.records import read_record

FIXTURES = Path("tests/collector/dialects/fixtures")
NOW_NS = time.time_ns()
TRACE, SPAN = bytes.fromhex(f"{0xABC:032x}"), bytes.fromhex(f"{7:016x}")


def _recorded(name: str) -> ExportLogsServiceRequest:
    request: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString((FIXTURES / f"{name}.logs.pb").read_bytes())
    return request


def _evaluation(trace: bytes = TRACE, **said: Any) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.scope.name = "my.evaluator"
    record = LogRecord(event_name="gen_ai.evaluation.result", trace_id=trace, time_unix_nano=NOW_NS)
    record.span_id = SPAN if trace else b""
    for name, value in said.items():
        key = f"gen_ai.evaluation.{name.replace('__', '.')}" if name != "response_id" else "gen_ai.response.id"
        pair = KeyValue(key=key)
        if isinstance(value, str):
            pair.value.string_value = value
        else:
            pair.value.double_value = value
        record.attributes.append(pair)
    scope.log_records.append(record)
    return request


def _read(*requests: ExportLogsServiceRequest) -> Events:
    return read_events(requests, project="default", now_ns=NOW_NS)


@pytest.mark.parametrize("name", ["otel_v2_default", "otel_v2_old", "otel_v2_latest"])
def test_the_events_of_a_recorded_call_become_its_texts(name: str) -> None:
    truth = json.loads((FIXTURES / f"{name}.truth.json").read_text())
    unary = next(call for call in truth["calls"] if call["label"] == "unary")

    texts = _read(_recorded(name)).texts

    [text] = [row for row in texts if unary["input_contains"] in row.input]
    assert [message["role"] for message in json.loads(text.input)] == ["system", "user"]
    assert unary["output_contains"] in text.output
    assert text.source == "event"


def test_messages_of_one_span_are_put_together_across_requests_in_their_order() -> None:
    whole = _recorded("otel_v2_default")
    parts = []
    for record in reversed(whole.resource_logs[0].scope_logs[0].log_records):
        part = ExportLogsServiceRequest()
        part.resource_logs.add().scope_logs.add().log_records.append(record)
        parts.append(part)

    assert sorted(_read(*parts).texts) == sorted(_read(whole).texts)


def test_an_evaluation_becomes_a_score_of_its_span() -> None:
    [score] = _read(_evaluation(name="relevance", score__value=0.8, explanation="close")).scores

    assert (score.trace_id, score.span_id) == (TRACE.hex(), SPAN.hex())
    assert (score.name, score.value, score.comment) == ("relevance", 0.8, "close")
    assert (score.source, score.author) == ("code", "my.evaluator")


@pytest.mark.parametrize(("label", "value"), [("Pass", 1.0), ("failed", 0.0)])
def test_a_word_stands_for_a_number(label: str, value: float) -> None:
    [score] = _read(_evaluation(name="relevance", score__label=label)).scores

    assert (score.value, score.label) == (value, label)


@pytest.mark.parametrize(
    "said", [{"score__label": "so so"}, {"score__value": math.nan}, {"score__value": math.inf}, {}]
)
def test_an_evaluation_without_a_number_is_left_out(said: dict[str, Any]) -> None:
    events = _read(_evaluation(name="relevance", **said))

    assert (events.scores, events.left_out) == ([], 1)


def test_an_evaluation_may_name_its_call_by_the_response() -> None:
    events = _read(_evaluation(b"", name="relevance", score__value=1.0, response_id="chatcmpl-1"))

    [loose] = events.loose
    alone = ExportLogsServiceRequest.FromString(read_record(loose.record).payload)
    assert (loose.response_id, events.scores) == ("chatcmpl-1", [])
    assert _read(alone).loose == [loose]


def test_other_log_records_are_left_out() -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(
        event_name="http.request", trace_id=TRACE, span_id=SPAN
    )

    assert _read(request) == Events([], [], [], 1)
