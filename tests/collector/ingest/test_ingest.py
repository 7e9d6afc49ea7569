"""From OTLP to rows: what is counted, what replaces nothing, and what hostile input does."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client, poll


def test_a_thousand_spans_are_a_thousand_rows(collector: Client) -> None:
    for first in range(0, 1000, 100):
        spans = [SpanIn(0xB0000 + first + index, 1 + index, attributes=call()) for index in range(100)]
        assert collector.send(make_batch(spans, {"spanwell.project": "thousand"})).status_code == 200

    counted = poll(lambda: collector.ask("overview", project="thousand")["rows"][0]["requests"], lambda n: n >= 1000)

    assert counted == 1000


def test_a_batch_sent_again_changes_nothing(collector: Client) -> None:
    batch = make_batch([SpanIn(trace=0xB1), SpanIn(trace=0xB1, span=2)], {"spanwell.project": "again"})

    for _ in range(3):
        assert collector.send(batch).status_code == 200
    collector.send(make_batch([SpanIn(trace=0xB2)], {"spanwell.project": "again"}))

    assert collector.await_count(3, project="again") == 3


def test_a_span_with_a_bad_id_does_not_take_its_batch_with_it(collector: Client) -> None:
    batch = make_batch([SpanIn(trace=0xC1 + index) for index in range(4)], {"spanwell.project": "poison"})
    spans = batch.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = b"twenty bytes are more"
    spans[1].span_id = b""
    spans[2].start_time_unix_nano = 0

    assert collector.send(batch).status_code == 200

    assert collector.await_count(1, project="poison") == 1


def test_hostile_attribute_keys_are_only_keys(collector: Client) -> None:
    keys = ["__proto__", "a'b\"c`d\\", "'; DROP TABLE spanwell.spans; --", "k" * 200, "", "ünïcödé.🙂"]
    span = SpanIn(trace=0xD1, attributes=dict.fromkeys(keys, "value"))

    collector.send(make_batch([span], {"spanwell.project": "hostile", **dict.fromkeys(keys, "value")}))
    collector.await_count(1, project="hostile")
    rows = collector.ask(f"traces/{span.trace_id}", project="hostile")["rows"]

    assert rows[0]["attributes"] == dict.fromkeys(keys, "value")


def test_attributes_fill_their_columns_and_the_rest_stays(collector: Client) -> None:
    attributes = call(
        gen_ai__response__model="small-1",
        gen_ai__response__finish_reasons=["stop", "length"],
        gen_ai__response__time_to_first_chunk=0.25,
        gen_ai__request__stream=True,
        gen_ai__request__temperature=0.5,
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__cache_read__input_tokens=40,
        gen_ai__conversation__id="conversation-1",
        spanwell__cost_usd="0.000000000001",
        spanwell__app="shop",
        spanwell__cache="miss",
    )
    span = SpanIn(trace=0xE1, attributes=attributes)

    collector.send(make_batch([span], {"spanwell.project": "columns", "deployment.environment.name": "staging"}))
    collector.await_count(1, project="columns")
    row = collector.ask(f"traces/{span.trace_id}", project="columns")["rows"][0]

    expected = {
        "model": "small-1",
        "request_model": "small",
        "finish_reason": "stop",
        "ttft_ms": 250.0,
        "stream": True,
        "input_tokens": 100,
        "cached_tokens": 40,
        "session_id": "conversation-1",
        "cost_usd": 1e-12,
        "app": "shop",
        "cache": "miss",
        "status": "ok",
        "kind": "client",
        "environment": "staging",
        "parent_span_id": "",
        "duration_ms": 100.0,
        "attributes": {"gen_ai.request.temperature": "0.5"},
    }
    assert {name: row[name] for name in expected} == expected


def test_a_cost_may_be_a_double(collector: Client) -> None:
    span = SpanIn(trace=0xE2, attributes=call(spanwell__cost_usd=0.00000125))

    collector.send(make_batch([span], {"spanwell.project": "double"}))
    collector.await_count(1, project="double")

    assert collector.ask(f"traces/{span.trace_id}", project="double")["rows"][0]["cost_usd"] == 0.00000125


def test_lists_and_objects_become_json(collector: Client) -> None:
    batch = make_batch([SpanIn(trace=0xE3, attributes={"list": ['say "hi"', "b"]})], {"spanwell.project": "json"})
    kept = batch.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="object")
    kept.value.kvlist_value.values.add(key="depth").value.int_value = 1

    collector.send(batch)
    collector.await_count(1, project="json")
    row = collector.ask(f"traces/{0xE3:032x}", project="json")["rows"][0]

    assert row["attributes"] == {"list": '["say \\"hi\\"","b"]', "object": '{"depth":1}'}


def test_a_span_without_a_project_belongs_to_the_default_one(collector: Client) -> None:
    collector.send(make_batch([SpanIn(trace=0xE4, ago_s=3000)]))

    assert collector.await_count(1, project="default") >= 1


def test_the_ledger_counts_what_never_came_or_was_left_out_as_missing(collector: Client) -> None:
    def make(first: int, *traces: int) -> ExportTraceServiceRequest:
        numbers = {"spanwell.batch.first": first, "spanwell.batch.spans": len(traces), "spanwell.batch.dropped": 3}
        named = {"spanwell.project": "ledger", "service.instance.id": "i-1"}
        return make_batch([SpanIn(trace) for trace in traces], {**named, **numbers})

    collector.send(make(0, 0xF1, 0xF2))
    collector.send(make(7, 0xF3, 0))
    collector.await_count(3, project="ledger")

    expected = {"service": "app-1", "instance": "i-1", "sent": 9, "stored": 3, "rejected": 1, "dropped": 3}
    (row,) = collector.ask("ledger", project="ledger")["rows"]
    assert {name: row[name] for name in expected} == expected
    assert (row["late"], row["missing"], row["gaps"][0]["first"], row["gaps"][0]["count"]) == (5, 0, 2, 5)
