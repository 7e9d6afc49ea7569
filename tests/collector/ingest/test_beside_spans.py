"""Log events and metrics on their whole way, over HTTP into their tables."""

import time
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import PROTOBUF, Client, poll


def _ask(collector: Client, sql: str) -> list[list[Any]]:
    url = f"http://127.0.0.1:{collector.service.settings.sql_port}"
    reply = httpx.get(url, params={"query": f"{sql} FORMAT JSONCompact"}, timeout=30)
    assert reply.status_code == 200, reply.text
    rows: list[list[Any]] = reply.json()["data"]
    return rows


def _await(collector: Client, sql: str) -> list[list[Any]]:
    rows: list[list[Any]] = poll(lambda: _ask(collector, sql), bool)
    return rows


def _post(collector: Client, path: str, body: bytes) -> None:
    reply = collector.http.post(path, content=body, headers=PROTOBUF)
    assert (reply.status_code, reply.content) == (200, b"")


def _event(name: str, trace: int, span: int, **attributes: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    source = request.resource_logs.add()
    source.resource.attributes.add(key="spanwell.project").value.string_value = "events"
    record = source.scope_logs.add().log_records.add(event_name=name, time_unix_nano=time.time_ns())
    record.trace_id, record.span_id = trace.to_bytes(16, "big"), span.to_bytes(8, "big")
    for key, value in attributes.items():
        record.attributes.add(key=key.replace("__", ".")).value.string_value = value
    return request


def test_a_message_event_becomes_the_text_of_its_span(collector: Client) -> None:
    event = _event("gen_ai.user.message", 0x7001, 1, content="what a question")

    for _ in range(2):
        _post(collector, "/v1/logs", event.SerializeToString())

    sql = "SELECT source, input FROM spanwell.texts WHERE trace_id = '{:032x}'"
    expected = [["event", '[{"role":"user","parts":[{"type":"text","content":"what a question"}]}]']]
    assert _await(collector, sql.format(0x7001)) == expected


def test_an_evaluation_finds_its_call_by_the_response(collector: Client) -> None:
    span = SpanIn(trace=0x7002, span=9, attributes=call(gen_ai__response__id="response-7002"))
    collector.send(make_batch([span], {"spanwell.project": "events"}))
    collector.await_count(1, project="events")
    said = {"gen_ai__evaluation__name": "tone", "gen_ai__evaluation__score__label": "pass"}

    request = _event("gen_ai.evaluation.result", 0, 0, gen_ai__response__id="response-7002", **said)
    _post(collector, "/v1/logs", request.SerializeToString())

    sql = "SELECT span_id, value, label, source FROM spanwell.scores WHERE trace_id = '{:032x}'"
    assert _await(collector, sql.format(0x7002)) == [[f"{9:016x}", 1, "pass", "code"]]


def test_a_metric_becomes_a_row_and_a_replay_changes_nothing(collector: Client) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="vllm:kv_cache_usage_perc")
    metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=0.25)

    _post(collector, "/v1/metrics", request.SerializeToString())

    sql = "SELECT kind, value FROM spanwell.metrics FINAL WHERE name = 'vllm:kv_cache_usage_perc'"
    assert _await(collector, sql) == [["gauge", 0.25]]


def test_json_is_taken_on_the_same_port(collector: Client) -> None:
    started_ns = time.time_ns()
    span = {
        "traceId": f"{0x7ABC:032X}",
        "spanId": f"{1:016x}",
        "name": "from a browser",
        "startTimeUnixNano": str(started_ns),
        "endTimeUnixNano": started_ns + 5_000_000,
        "attributes": [{"key": "session.id", "value": {"stringValue": "s-1"}}],
    }
    project = {"key": "spanwell.project", "value": {"stringValue": "json-in"}}
    body = {
        "resourceSpans": [
            {"resource": {"attributes": [project]}, "scopeSpans": [{"spans": [span, span | {"traceId": "00"}]}]}
        ]
    }

    reply = collector.http.post("/v1/traces", json=body)

    told = reply.json()["partialSuccess"]
    assert (reply.status_code, told["rejectedSpans"]) == (200, "1")
    assert "trace_id" in told["errorMessage"]
    assert collector.await_count(1, project="json-in") == 1
    row = collector.ask(f"traces/{0x7ABC:032x}", project="json-in")["rows"][0]
    assert (row["name"], row["session_id"], row["duration_ms"]) == ("from a browser", "s-1", 5.0)
