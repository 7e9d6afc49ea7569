import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from spanwell_proxy.lane.messages import MessageEvents, to_message, to_usage

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = {
    "prompt_tokens": 142,
    "completion_tokens": 20,
    "prompt_tokens_details": {
        "cached_tokens": 16,
        "cache_write_tokens": 100,
        "cache_creation_token_details": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    },
}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
REST = {"index": 0, "function": {"arguments": ' "Rome"}'}}


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"model": "tiny", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def stream(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, each as a client reads it."""
    events = MessageEvents("msg_1", {})
    data = b"".join([events.begin(chunks[0]), *map(events.feed, chunks), events.finish()])
    lines = [event.split(b"\n") for event in data.split(b"\n\n")[:-1]]
    read = [json.loads(line[1].removeprefix(b"data: ")) for line in lines]
    assert [f"event: {event['type']}".encode() for event in read] == [line[0] for line in lines]
    return read


def assemble(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What Anthropic's own client makes of the events."""
    message, written = None, dict[int, bytes]()
    for event in map(EVENT.validate_python, (event for event in events if event["type"] != "ping")):
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=written)
    assert message
    return message.model_dump(exclude_none=True)


def test_cached_tokens_stand_beside_the_input() -> None:
    assert to_usage(USAGE) == {
        "input_tokens": 26,
        "cache_read_input_tokens": 16,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "output_tokens": 20,
    }


def test_thoughts_text_and_calls_become_blocks_in_this_order() -> None:
    said = {
        "content": "Let me see.",
        "reasoning_content": "Hm.",
        "tool_calls": [CALL | {"function": {"name": "weather"}}],
    }

    message = to_message({"model": "tiny", "choices": [{"message": said, "finish_reason": "tool_calls"}]}, "msg_1", {})

    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
    ]


def test_a_tools_name_that_was_cut_is_whole_again() -> None:
    said = {"tool_calls": [{"id": "call_1", "function": {"name": "short", "arguments": "{}"}}]}

    message = to_message({"choices": [{"message": said}]}, "msg_1", {"short": "a_name_of_more_than_64_letters"})

    assert message["content"][0]["name"] == "a_name_of_more_than_64_letters"


def test_arguments_that_are_no_json_are_not_lost() -> None:
    said = {"tool_calls": [{"id": "call_1", "function": {"name": "weather", "arguments": "Rome"}}]}

    message = to_message({"choices": [{"message": said}]}, "msg_1", {})

    assert message["content"][0]["input"] == {"arguments": "Rome"}


def test_a_stream_of_text_has_anthropics_events_in_their_order() -> None:
    events = stream(chunk(content="Foxes "), chunk(content="sleep."), chunk("stop"), {"choices": [], "usage": USAGE})

    assert [event["type"] for event in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"] == to_usage(USAGE)


def test_anthropics_client_puts_a_stream_together() -> None:
    signed = {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}
    events = stream(
        chunk(role="assistant", thinking_blocks=[{"type": "thinking", "thinking": "Rome, "}]),
        chunk(thinking_blocks=[{"type": "thinking", "thinking": "I see."}]),
        chunk(thinking_blocks=[signed], reasoning_content=""),
        chunk(content="Looking."),
        chunk(tool_calls=[CALL]),
        chunk(tool_calls=[REST]),
        chunk("tool_calls") | {"usage": USAGE},
    )

    message = assemble(events)

    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [
        {"type": "thinking", "thinking": "Rome, I see.", "signature": "c2lnbmVk"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
    ]
    assert message["usage"]["cache_creation_input_tokens"] == 100


def test_parallel_calls_are_blocks_of_their_own() -> None:
    second = {"index": 1, "id": "call_2", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}

    message = assemble(stream(chunk(tool_calls=[CALL]), chunk(tool_calls=[REST, second]), chunk("tool_calls")))

    assert [block["input"] for block in message["content"]] == [{"city": "Rome"}, {"city": "Oslo"}]


def test_other_choices_than_the_first_are_left_out() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}

    message = assemble(stream(chunk(content="yes"), other, chunk("stop")))

    assert (message["content"][0]["text"], message["stop_reason"]) == ("yes", "end_turn")
