"""Requests and responses of every API are read as messages; what is none of them is told apart."""

from typing import Any

import pytest

from spanwell_collector.dialects.messages import read_answer, read_event_messages, read_request, with_system

CALL = {"type": "tool_call", "id": "c1", "name": "track", "arguments": {"parcel": 7}}
ASKED = [
    {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Hi ✓"}]},
]
SAID = [{"role": "assistant", "parts": [{"type": "text", "content": "Hello."}], "finish_reason": "stop"}]


@pytest.mark.parametrize(
    "body",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi ✓"}],
        {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi ✓"}]},
        {"system": "Be brief.", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi ✓"}]}]},
        {"system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "human", "content": "Hi ✓"}]},
        {"system": "Be brief.", "prompt": "Hi ✓"},
        {"instructions": "Be brief.", "input": "Hi ✓"},
        {"instructions": "Be brief.", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi ✓"}]}]},
        {"system_instruction": {"text": "Be brief."}, "contents": [{"role": "user", "parts": [{"text": "Hi ✓"}]}]},
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi \\u2713"}]',
        ASKED,
    ],
)
def test_a_request_of_any_shape_is_the_same_messages(body: Any) -> None:
    assert read_request(body) == ASKED


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]},
        {"choices": [{"text": "Hello.", "finish_reason": "stop"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello."}], "stop_reason": "stop"},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "stop"}]},
        {"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"},
        SAID,
    ],
)
def test_a_response_of_any_shape_is_the_same_message(body: Any) -> None:
    assert read_answer(body) == SAID


@pytest.mark.parametrize(
    "body",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "track", "arguments": '{"parcel": 7}'}}],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "track", "input": {"parcel": 7}}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "track", "input": '{"parcel": 7}'}],
        },
        {"output": [{"type": "function_call", "call_id": "c1", "name": "track", "arguments": '{"parcel": 7}'}]},
    ],
)
def test_a_call_of_a_tool_is_the_same_part(body: Any) -> None:
    assert read_answer(body) == [{"role": "assistant", "parts": [CALL]}]


def test_the_answer_of_a_tool_in_the_vercel_sdks_words() -> None:
    part = {
        "type": "tool-result",
        "toolCallId": "c1",
        "toolName": "track",
        "output": {"type": "text", "value": "on its way"},
    }

    made = read_request([{"role": "tool", "content": [part]}])

    assert made == [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "on its way"}]}]


def test_texts_to_embed_are_one_message() -> None:
    parts = [{"type": "text", "content": text} for text in ("one", "two")]

    assert read_request(["one", "two"]) == [{"role": "user", "parts": parts}]


@pytest.mark.parametrize("body", [7, None, {}, {"messages": 3}, [1, 2], [{"x": 1}], {"data": [{"embedding": [0.5]}]}])
def test_what_is_no_conversation_is_none(body: Any) -> None:
    assert read_request(body) is None
    assert read_answer(body) is None


def test_instructions_beside_the_messages_come_first() -> None:
    instructions = '[{"type": "text", "content": "Be brief."}]'

    assert read_request(with_system(instructions, ASKED[1:])) == ASKED
    assert read_request(with_system("Be brief.", ASKED[1:])) == ASKED
    assert with_system(None, None) is None


def test_log_records_of_a_call_are_its_messages() -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}

    events = [
        read_event_messages("gen_ai.system.message", {"content": "Be brief."}, {"gen_ai.system": "openai"}),
        read_event_messages("gen_ai.user.message", {"content": "Hi ✓"}, {}),
        read_event_messages("gen_ai.choice", choice, {}),
    ]

    assert [message for event in events for message in event.asked] == ASKED
    assert [message for event in events for message in event.answered] == SAID


def test_a_log_record_may_hold_all_of_a_call() -> None:
    attributes = {
        "gen_ai.system_instructions": ASKED[0]["parts"],
        "gen_ai.input.messages": ASKED[1:],
        "gen_ai.output.messages": SAID,
    }

    event = read_event_messages("gen_ai.client.inference.operation.details", None, attributes)

    assert event == (ASKED, SAID)


def test_events_of_a_span_hold_json_in_attributes() -> None:
    prompt = {"gen_ai.prompt": '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi ✓"}]'}
    choice = {"finish_reason": "stop", "message": '{"role": "assistant", "content": "Hello."}'}

    assert read_event_messages("gen_ai.content.prompt", None, prompt).asked == ASKED
    assert read_event_messages("gen_ai.choice", None, choice).answered == SAID


@pytest.mark.parametrize("name", ["exception", "gen_ai.evaluation.result", ""])
def test_an_event_about_something_else_has_no_messages(name: str) -> None:
    assert read_event_messages(name, {"content": "x"}, {}) == ([], [])
