"""Requests are anybody's and answers any backend's: whatever they hold is refused by name, or told on a span."""

import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanwell_proxy.apis.api import Api, BrokenAnswerError
from spanwell_proxy.apis.paths import APIS
from spanwell_proxy.failures import ApiError, error_body

WORDS = """
messages prompt input system instructions content role type text stream stream_options tools output choices data message
delta index usage input_tokens prompt_tokens_details cache_creation status error item response output_index
content_block embedding finish_reason stop_reason tool_calls function summary metadata
"""
KINDS = """
message_start content_block_start content_block_delta message_delta message_stop error ping response.created
response.output_item.added response.output_item.done response.output_text.delta response.completed
"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)
EVENTS = st.sampled_from(KINDS.split())
each = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
streaming = pytest.mark.parametrize("api", [api for api in APIS if api.open_reader], ids=lambda api: api.name)


@each
@given(request=OBJECTS)
@settings(max_examples=60, deadline=None)
def test_any_request_is_refused_by_name_or_taken(api: Api, request: dict[str, Any]) -> None:
    with suppress(ApiError):
        api.check(request)
    assert isinstance(list(api.asked(request)), list)
    assert not isinstance(api.max_tokens(request), bool)


@each
@given(answer=OBJECTS)
@settings(max_examples=60, deadline=None)
def test_any_answer_is_broken_or_can_be_told(api: Api, answer: dict[str, Any]) -> None:
    try:
        document = api.read(orjson.dumps(answer, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    except (BrokenAnswerError, TypeError):  # a number that JSON has, and orjson does not write
        return
    json.dumps(list(api.answered(document)))
    assert all(isinstance(reason, str) for reason in api.reasons(document))
    usage = api.usage(document)
    assert usage is None or min(usage.input, usage.output, usage.cached, usage.cache_write) >= 0


@streaming
@given(events=st.lists(st.tuples(EVENTS, OBJECTS), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_stream_is_broken_or_can_be_told(api: Api, events: list[tuple[str, dict[str, Any]]]) -> None:
    assert api.open_reader
    reader = api.open_reader({})
    data = b"".join(b"data: " + json.dumps({"type": kind, **said}).encode() + b"\n\n" for kind, said in events)
    with suppress(BrokenAnswerError):
        reader.feed(data)
    if (document := reader.document()) is not None:
        json.dumps(list(api.answered(document)))
        api.reasons(document)


@pytest.mark.parametrize("api", [api for api in APIS if api.error_event], ids=lambda api: api.name)
def test_an_error_inside_a_stream_is_an_event_of_the_api(api: Api) -> None:
    assert api.error_event
    error = ApiError(503, "upstream_503", "no\nroom", body=error_body(503, "x", "no\nroom"))

    event = api.error_event(error)

    assert event.endswith(b"\n\n")
    assert b"no\\nroom" in event
    assert event.startswith(b"event: error\n") is (api.name in ("messages", "responses"))
