"""OTLP/JSON to the letter: hex ids, integers as text or number, and what is wrong named by its place."""

from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from spanwell_collector.ingest.reading import to_plain
from spanwell_collector.receivers.otlp_json import Parsed, parse_json
from spanwell_collector.receivers.refusals import RefusedError
from tests.collector.batches import SpanIn, call, make_batch


def _parse(**span: Any) -> Parsed:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    return parse_json(orjson.dumps(body), ExportTraceServiceRequest)


def _span(**fields: Any) -> Any:
    return _parse(**fields).message.resource_spans[0].scope_spans[0].spans[0]


def _attribute(value: dict[str, Any]) -> AnyValue:
    found: AnyValue = _span(attributes=[{"key": "k", "value": value}]).attributes[0].value
    return found


def test_what_protobuf_says_json_says_too() -> None:
    batch = make_batch([SpanIn(attributes=call(list=["a"], number=7, share=0.5, on=True))])

    assert parse_json(orjson.dumps(to_plain(b"\x01" + batch.SerializeToString())), type(batch)).message == batch


def test_ids_are_hex_in_either_case() -> None:
    span = _span(traceId="0AF7651916CD43DD8448EB211C80319C", spanId="b7ad6b7169203331")

    assert (span.trace_id.hex(), span.span_id.hex()) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.mark.parametrize("value", [1544712660000000000, "1544712660000000000"])
def test_an_integer_may_be_text_or_a_number(value: int | str) -> None:
    assert _span(startTimeUnixNano=value).start_time_unix_nano == 1544712660000000000
    assert _attribute({"intValue": value}).int_value == 1544712660000000000


@pytest.mark.parametrize("value", ["3q2+7w==", "3q2+7w", "3q2-7w=="])
def test_bytes_stay_base64_in_either_alphabet(value: str) -> None:
    assert _attribute({"bytesValue": value}).bytes_value == b"\xde\xad\xbe\xef"


@pytest.mark.parametrize("value", [0.25, "0.25", "2.5e-1"])
def test_a_double_may_be_text_or_infinite(value: float | str) -> None:
    assert _attribute({"doubleValue": value}).double_value == 0.25
    assert _attribute({"doubleValue": "-Infinity"}).double_value == float("-inf")


def test_unknown_fields_and_snake_case_are_passed_over() -> None:
    span = _span(name="n", spanName="x", start_time_unix_nano=5, newField={"a": 1})

    assert (span.name, span.start_time_unix_nano) == ("n", 0)


def test_an_empty_value_is_not_an_unset_one() -> None:
    assert _attribute({"arrayValue": {}}).WhichOneof("value") == "array_value"


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ({"kind": "SPAN_KIND_CLIENT"}, r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]\.kind: .* is no integer"),
        ({"startTimeUnixNano": -1}, r"startTimeUnixNano: .*-1"),
        ({"name": 5}, "name: text is needed"),
        ({"attributes": [{"key": "k", "value": {"doubleValue": "many"}}]}, "doubleValue: 'many' is no number"),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "ünïcode"}}]}, "bytesValue: base64 text is needed"),
        ({"attributes": {}}, "attributes: a list is needed"),
        ({"status": []}, "status: an object is needed"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(span: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        _parse(**span)


def test_a_span_that_nests_too_deep_is_left_out_alone() -> None:
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(60):
        value = {"arrayValue": {"values": [value]}}
    spans = [{"name": "deep", "attributes": [{"key": "k", "value": value}]}, {"name": "flat"}]
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})

    parsed = parse_json(body, ExportTraceServiceRequest)

    kept = parsed.message.resource_spans[0].scope_spans[0].spans
    assert ([span.name for span in kept], parsed.too_deep) == (["flat"], 1)
