"""What takes more than a table: which span is the call, and what a package got wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell_collector.dialects.content import GIVEN, RETURNED, ROOTS
from spanwell_collector.dialects.mapping import list_sources
from spanwell_collector.dialects.refine import refine
from tests.collector.dialects.spans import (
    BEGIN,
    MAPPING,
    PARENT,
    SECOND,
    add_event,
    fill,
    make_source,
    refined,
    span_of,
)

FIXTURES = Path(__file__).parent / "fixtures"


def parts(text: str) -> list[dict[str, Any]]:
    return [part for message in json.loads(text) for part in message["parts"]]


def test_a_span_of_ours_stays_byte_for_byte() -> None:
    source = make_source({c.INPUT_MESSAGES: "[]", "input.value": "x", c.DUPLICATE_OF: "a"}, scope="spanwell.proxy")
    before = source.SerializeToString()

    refine(source, MAPPING)

    assert source.SerializeToString() == before


def test_a_plain_span_is_only_named_as_one() -> None:
    assert refined(make_source({"http.route": "/", "query": "x"})) == {
        "http.route": "/",
        "query": "x",
        c.DIALECT: "otel",
    }


def test_nobody_else_says_what_only_we_know() -> None:
    made = refined(make_source({c.DIALECT: "spanwell", c.DUPLICATE_OF: "a", c.PROVIDER: "openai"}))

    assert made == {c.PROVIDER: "openai", c.DIALECT: "gen_ai"}


def test_indexed_messages_become_one_attribute() -> None:
    root = "llm.input_messages.0.message"
    sent = {
        "openinference.span.kind": "LLM",
        f"{root}.role": "user",
        f"{root}.contents.0.message_content.type": "text",
        f"{root}.contents.0.message_content.text": "What is this?",
        f"{root}.contents.1.message_content.type": "image",
        f"{root}.contents.1.message_content.image.image.url": "http://127.0.0.1/cat.png",
        "input.value": '{"messages": []}',
        "input.mime_type": "application/json",
    }

    made = refined(make_source(sent))

    assert sorted(made) == sorted([c.INPUT_MESSAGES, c.DIALECT, "openinference.span.kind"])
    assert parts(made[c.INPUT_MESSAGES]) == [
        {"type": "text", "content": "What is this?"},
        {"type": "uri", "modality": "image", "uri": "http://127.0.0.1/cat.png"},
    ]


def test_structured_messages_become_json_text() -> None:
    message = {"role": "user", "parts": [{"type": "text", "content": "hi"}]}

    made = refined(make_source({c.OPERATION: "chat", c.INPUT_MESSAGES: [message]}))

    assert json.loads(made[c.INPUT_MESSAGES]) == [message]


def test_what_a_tool_was_given_is_no_message() -> None:
    sent = {"openinference.span.kind": "TOOL", "input.value": '{"city": "Paris"}', "output.value": "Sunny"}

    made = refined(make_source(sent))

    assert (made[c.INPUT], made[c.OUTPUT]) == ('{"city":"Paris"}', '"Sunny"')


@pytest.mark.parametrize(("kind", "attribute"), [("tool", c.TOOL_NAME), ("agent", c.AGENT_NAME)])
def test_a_tool_or_an_agent_that_only_the_span_names_has_a_name(kind: str, attribute: str) -> None:
    assert refined(make_source({"langfuse.observation.type": kind}, name="weather"))[attribute] == "weather"


def test_a_tool_with_a_name_keeps_it() -> None:
    made = refined(make_source({"openinference.span.kind": "TOOL", "tool.name": "weather"}, name="run"))

    assert made["tool.name"] == "weather"
    assert c.TOOL_NAME not in made


def test_messages_in_events_come_into_the_span() -> None:
    source = make_source({c.OPERATION: "chat", c.PROVIDER: "openai"})
    add_event(source, "gen_ai.user.message", {"content": "hi"})
    add_event(source, "kept", {})
    add_event(source, "gen_ai.choice", {"message": '{"content": "hello"}', "finish_reason": "stop"})

    made = refined(source)

    assert parts(made[c.INPUT_MESSAGES]) == [{"type": "text", "content": "hi"}]
    assert parts(made[c.OUTPUT_MESSAGES]) == [{"type": "text", "content": "hello"}]
    assert [event.name for event in span_of(source).events] == ["kept"]


def test_the_first_of_many_chunks_tells_when_the_answer_began() -> None:
    source = make_source({"mlflow.spanType": '"CHAT_MODEL"'}, scope="mlflow.tracing.provider")
    for index in range(3):
        add_event(source, f"mlflow.chunk.item.{index}", {}, 0.25 + index)

    made = refined(source)

    assert (made[c.TIME_TO_FIRST_CHUNK_S], made[c.STREAM]) == (0.25, True)
    assert len(span_of(source).events) == 0


def test_a_failure_is_called_by_the_class_of_its_exception() -> None:
    source = make_source({c.OPERATION: "chat"}, failed=True)
    add_event(source, "exception", {"exception.type": "openai.InternalServerError"})

    assert refined(source)[c.ERROR_TYPE] == "InternalServerError"


def test_a_streamed_call_of_logfire_is_the_log_at_its_end() -> None:
    sent = {c.OPERATION: "chat", c.RESPONSE_MODEL: "m", "logfire.span_type": "log", "duration": 0.5, c.INPUT_TOKENS: 3}
    source = make_source(sent, scope="logfire.openai")

    made = refined(source)

    assert span_of(source).start_time_unix_nano == BEGIN + SECOND // 2
    assert made[c.STREAM] is True
    assert c.RESPONSE_MODEL not in made
    assert "duration" not in made


def test_a_false_end_does_not_put_the_beginning_where_no_row_is_kept() -> None:
    source = make_source({c.OPERATION: "chat", "logfire.span_type": "log", "duration": 0.5}, scope="logfire.openai")
    span_of(source).end_time_unix_nano = 1

    refine(source, MAPPING)

    assert span_of(source).start_time_unix_nano == BEGIN


@pytest.mark.parametrize(("failed", "is_call"), [(False, False), (True, True)])
def test_the_request_of_a_streamed_call_of_logfire_is_a_call_only_when_it_failed(failed: bool, is_call: bool) -> None:
    source = make_source({c.OPERATION: "chat", "logfire.span_type": "span"}, scope="logfire.openai", failed=failed)

    assert (c.OPERATION in refined(source)) is is_call


def test_a_scrubbed_session_is_none() -> None:
    made = refined(make_source({"session_id": "[Scrubbed due to 'session']", "user_id": "ada"}, scope="logfire"))

    assert made == {"user_id": "ada", c.DIALECT: "logfire"}


def test_of_two_embedding_spans_of_vercel_the_one_with_tokens_is_the_call() -> None:
    outer, inner = (
        make_source({c.OPERATION: "embeddings", **tokens}, scope="gen_ai") for tokens in ({}, {c.INPUT_TOKENS: 31})
    )

    assert c.OPERATION not in refined(outer)
    assert refined(inner)[c.OPERATION] == "embeddings"


@pytest.mark.parametrize(
    ("name", "provider"), [("openai.chat", "openai"), ("google.vertex.chat", "google.vertex"), ("x.y", "x.y")]
)
def test_a_provider_of_vercel_loses_its_api(name: str, provider: str) -> None:
    assert refined(make_source({"gen_ai.system": name}, scope="ai"))["gen_ai.system"] == provider


def test_a_request_of_vllm_is_its_callers_call() -> None:
    sent = {"gen_ai.request.id": "chatcmpl-1", "gen_ai.usage.prompt_tokens": 3}

    made = refined(make_source(sent, scope="vllm.tracing.otel", name="llm_request"))

    assert (made[c.OPERATION], made[c.PROVIDER], made[c.DUPLICATE_OF]) == ("chat", "vllm", PARENT.hex())


def test_vllm_at_its_start_calls_nothing() -> None:
    assert refined(make_source({"code.lineno": "7"}, scope="vllm.v1.worker", name="Load model")) == {
        "code.lineno": "7",
        c.DIALECT: "vllm",
    }


@pytest.mark.parametrize(("sent", "expected", "basis"), [(11, 161, "exclusive"), (161, 161, None)])
def test_input_tokens_that_leave_out_the_cached_ones_are_made_to_hold_them(
    sent: int, expected: int, basis: str | None
) -> None:
    usage = {
        c.INPUT_TOKENS: sent,
        "gen_ai.usage.cache_read_input_tokens": 100,
        "gen_ai.usage.cache_creation_input_tokens": 50,
    }

    made = refined(make_source({c.OPERATION: "chat", c.PROVIDER: "anthropic", **usage}))

    assert (made[c.INPUT_TOKENS], made.get(c.USAGE_BASIS)) == (expected, basis)


def test_anthropics_own_usage_in_langfuse_leaves_out_the_cached_tokens() -> None:
    usage = (
        '{"input_tokens": 200, "output_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50}'
    )

    made = refined(
        make_source({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": usage})
    )

    assert (made[c.INPUT_TOKENS], made[c.USAGE_BASIS]) == (350, "exclusive")


def test_what_nests_deeper_than_the_stack_stays_as_it_was_sent() -> None:
    deep = '{"prompt":' * 900 + '"x"' + "}" * 900

    made = refined(make_source({"langfuse.observation.type": "generation", "langfuse.observation.input": deep}))

    assert made[c.DIALECT] == "langfuse"


NAMES = sorted(
    {source.name for _, _, source in list_sources(MAPPING)}
    | {
        *MAPPING,
        *GIVEN,
        *RETURNED,
        *(f"{root}0.message.content" for root in ROOTS),
        "model",
        "duration",
        "gen_ai.system_instructions",
        "ai.response.toolCalls",
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "parts",
                    "type",
                    "text",
                    "messages",
                    "choices",
                    "message",
                    "usage",
                    "prompt_tokens",
                    "tool_calls",
                    "function",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
VALUES = (
    st.text(max_size=20)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.binary(max_size=9)
    | JSON.map(json.dumps)
    | st.lists(
        st.text(max_size=5) | st.dictionaries(st.sampled_from(["role", "content", "parts"]), st.text(max_size=5)),
        max_size=3,
    )
)
RECORDED = [path.read_bytes() for path in sorted(FIXTURES.glob("*.traces.pb"))]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(RECORDED),
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), VALUES, max_size=6),
    st.integers(0, 30),
)
def test_nothing_that_is_sent_makes_it_fail(payload: bytes, changes: dict[str, Any], which: int) -> None:
    batch = ExportTraceServiceRequest.FromString(payload)
    spans = [span for source in batch.resource_spans for scope in source.scope_spans for span in scope.spans]
    span = spans[which % len(spans)]
    for name, value in changes.items():
        fill(span.attributes.add(key=name).value, value)

    for source in batch.resource_spans:
        refine(source, MAPPING)

    for pair in span.attributes:
        assert pair.key
        assert pair.value.WhichOneof("value") not in ("array_value", "kvlist_value")
        if pair.key in (c.INPUT_MESSAGES, c.OUTPUT_MESSAGES):
            assert all({"role", "parts"} <= message.keys() for message in json.loads(pair.value.string_value))
