"""How long the spans of a serialized request are."""

import pytest

from spanwell_collector.ingest.sizes import find_longest_span
from tests.collector.batches import SpanIn, make_batch

REQUEST = make_batch([SpanIn(trace=1), SpanIn(trace=2)], {"note": "x" * 300})
LONGEST = max(span.ByteSize() for span in REQUEST.resource_spans[0].scope_spans[0].spans)
GROUP = b"\x1b\x1c"  # an unknown field that nobody writes any more


def test_the_longest_span_is_found_in_whichever_resource_it_stands() -> None:
    other = make_batch([SpanIn(trace=3)], {})
    other.resource_spans[0].scope_spans[0].spans[0].name = "n" * 20_000

    found = find_longest_span(REQUEST.SerializeToString() + other.SerializeToString())

    assert found == other.resource_spans[0].scope_spans[0].spans[0].ByteSize()


def test_nothing_has_no_span() -> None:
    assert find_longest_span(b"") == 0


@pytest.mark.parametrize("unknown", [b"\x18\x05", b"\x1d1234", b"\x1912345678", b"\x1a\x03abc"])
def test_fields_of_any_kind_are_passed_over(unknown: bytes) -> None:
    assert find_longest_span(unknown + REQUEST.SerializeToString() + unknown) == LONGEST


def test_what_cannot_be_passed_over_may_be_as_long_as_the_request() -> None:
    payload = GROUP + REQUEST.SerializeToString()

    assert find_longest_span(payload) == len(payload)
