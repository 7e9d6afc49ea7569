"""What is written by hand, beside what google.protobuf writes and reads."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanwell_proxy.telemetry.otlp import (
    ERROR,
    LARGEST_BLOCK,
    MOST_BLOCKS,
    OK,
    Blocks,
    Value,
    Values,
    write_facts,
    write_name,
    write_request,
    write_span,
)

TEXTS = st.text(max_size=300)
VALUES = st.one_of(
    st.none(),
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXTS, max_size=4),
)
IDENTS = st.binary(min_size=8, max_size=8)
TIMES = st.integers(0, 2**64 - 1)
IDS = (b"t" * 16, b"s" * 8, b"p" * 8)


def set_attributes(attributes: Any, facts: Mapping[str, Value]) -> None:
    """As it would be done with the generated classes."""
    for key, value in facts.items():
        if value is None or value == "" or value == []:
            continue
        field = attributes.add(key=key).value
        if isinstance(value, str):
            field.string_value = value
        elif isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, int):
            field.int_value = value
        elif isinstance(value, float):
            field.double_value = value
        else:
            for item in value:
                field.array_value.values.add(string_value=item)


@settings(max_examples=200, deadline=None)
@given(
    ids=st.tuples(st.binary(min_size=16, max_size=16), IDENTS, st.just(b"") | IDENTS),
    name=TEXTS,
    times=st.tuples(TIMES, TIMES),
    facts=st.dictionaries(st.text(min_size=1, max_size=200), VALUES, max_size=12),
    status=st.tuples(st.sampled_from([OK, ERROR]), TEXTS),
)
def test_what_is_written_is_what_protobuf_reads(
    ids: tuple[bytes, bytes, bytes],
    name: str,
    times: tuple[int, int],
    facts: dict[str, Value],
    status: tuple[int, str],
) -> None:
    expected = ExportTraceServiceRequest()
    resource = expected.resource_spans.add()
    resource.resource.SetInParent()
    set_attributes(resource.resource.attributes, facts)
    scope = resource.scope_spans.add()
    scope.scope.name = "a scope"
    span = scope.spans.add(trace_id=ids[0], span_id=ids[1], parent_span_id=ids[2], name=name, kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = times
    span.status.code, span.status.message = status
    set_attributes(span.attributes, facts)

    whole = write_span(ids, times, (write_name(name),), facts, status)
    in_blocks = write_span(ids, times, (write_name(name), write_facts(facts)), {}, status)

    for written in (whole, in_blocks):
        assert expected == ExportTraceServiceRequest.FromString(write_request(facts, "a scope", [written]))


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 16_383, 16_384, 5_000_000])
def test_a_text_of_any_length_is_whole(length: int) -> None:
    span = read(write_span(IDS, (1, 2), (), {"text": "x" * length, "behind": "y"}))

    assert {pair.key: len(pair.value.string_value) for pair in span.attributes}.get("text", 0) == length
    assert span.attributes[-1].value.string_value == "y"


@pytest.mark.parametrize("padding", ["", "x" * 31])
def test_half_a_surrogate_becomes_a_question_mark(padding: str) -> None:
    span = read(write_span(IDS, (1, 2), (write_name("\ud800"),), {"k\udfff": f"{padding}\ud83d!"}, (ERROR, "\udc00")))

    assert (span.name, span.attributes[0].key, span.status.message) == ("?", "k?", "?")
    assert span.attributes[0].value.string_value == f"{padding}?!"


def test_a_true_is_no_one_though_they_are_equal() -> None:
    facts: dict[str, Value] = {"a": 1, "b": True, "c": 1.0}

    spans = [read(write_span(IDS, (1, 2), (), facts)) for _ in range(2)]

    assert [pair.value.WhichOneof("value") for pair in spans[1].attributes] == [
        "int_value",
        "bool_value",
        "double_value",
    ]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        write_span(IDS, (1, 2), (), {"tokens": number})


def test_a_time_before_1970_is_refused() -> None:
    with pytest.raises(ValueError, match="times"):
        write_span(IDS, (-1, 2), (), {})


def test_a_block_is_written_once() -> None:
    written: list[Values] = []

    def write(values: Values) -> bytes:
        written.append(values)
        return repr(values).encode()

    blocks = Blocks(write)
    found = [blocks[values] for values in (("a", 1), ("b", 1), ("a", 1))]

    assert found == [b"('a', 1)", b"('b', 1)", b"('a', 1)"]
    assert written == [("a", 1), ("b", 1)]


def test_what_clients_choose_does_not_fill_the_memory() -> None:
    kept: list[int] = []
    blocks = Blocks(lambda values: b"x" * int(str(values[0])))
    for size in [*range(2 * MOST_BLOCKS), LARGEST_BLOCK + 1, 10**6]:
        assert len(blocks[size,]) == size
        kept.append(len(blocks))

    assert max(kept) == MOST_BLOCKS
    assert kept[-3:] == [kept[-1]] * 3


def read(written: bytes) -> Span:
    request = ExportTraceServiceRequest.FromString(write_request({}, "", [written]))
    span: Span = request.resource_spans[0].scope_spans[0].spans[0]
    return span
