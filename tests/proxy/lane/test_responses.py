import json
from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from spanwell_proxy.lane.responses import Origin, ResponseEvents, to_response

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": 20,
    "total_tokens": 62,
    "prompt_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
REST = {"index": 0, "function": {"arguments": ' "Rome"}'}}
PATCH = {"type": "custom", "name": "apply_patch"}


def origin(**request: Any) -> Origin:
    return Origin(request, "aa", 1795207129)


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"model": "tiny", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def stream(*chunks: dict[str, Any], **request: Any) -> list[dict[str, Any]]:
    events = ResponseEvents(origin(**request))
    data = b"".join([events.begin(chunks[0]), *map(events.feed, chunks), events.finish()])
    read = [json.loads(event.split(b"\ndata: ")[1]) for event in data.split(b"\n\n")[:-1]]
    assert list(range(len(read))) == [event["sequence_number"] for event in read]
    return read


def complete(message: dict[str, Any], reason: str = "stop", **request: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
    return to_response({"model": "tiny", "choices": [choice], "usage": USAGE}, origin(**request))


def test_a_whole_answer_is_one_that_openais_client_knows() -> None:
    response = complete({"content": "Foxes sleep."}, instructions="Be brief", temperature=0.5)

    read = Response.model_validate(response)
    assert (read.id, read.status, read.output_text, read.instructions, read.temperature) == (
        "resp_aa",
        "completed",
        "Foxes sleep.",
        "Be brief",
        0.5,
    )
    assert read.usage
    assert (read.usage.input_tokens, read.usage.input_tokens_details.cached_tokens) == (42, 16)
    assert read.usage.output_tokens_details.reasoning_tokens == 7
    assert response["usage"]["input_tokens_details"]["cache_write_tokens"] == 3


def test_thoughts_text_and_calls_are_items_in_this_order() -> None:
    response = complete({"content": "Looking.", "reasoning_content": "Hm.", "tool_calls": [CALL]}, "tool_calls")

    reasoning, message, call = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert message["content"][0]["text"] == "Looking."
    assert (call["type"], call["call_id"], call["arguments"]) == ("function_call", "call_1", '{"city":')


def test_an_answer_that_was_cut_says_so() -> None:
    response = complete({"content": "Foxes"}, "length")

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_signed_thoughts_can_come_back_as_they_were() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "eHg="},
    ]

    response = complete({"content": "Yes.", "reasoning_content": "Hm.", "thinking_blocks": blocks})

    assert json.loads(response["output"][0]["encrypted_content"]) == blocks


def test_a_custom_tool_gets_its_input_as_text() -> None:
    arguments = json.dumps({"content": "*** Begin Patch"})
    said = {"tool_calls": [{"id": "call_1", "function": {"name": "apply_patch", "arguments": arguments}}]}

    (item,) = complete(said, "tool_calls", tools=[PATCH])["output"]

    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", "*** Begin Patch")


def test_a_stream_of_text_has_openais_events_in_their_order() -> None:
    events = stream(
        chunk(role="assistant", content=""), chunk(content="Foxes "), chunk(content="sleep."), chunk("stop")
    )

    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_openais_client_puts_a_stream_together() -> None:
    events = stream(
        chunk(reasoning_content="Hm.", thinking_blocks=[{"type": "thinking", "thinking": "Hm."}]),
        chunk(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}]),
        chunk(content="Looking."),
        chunk(tool_calls=[CALL]),
        chunk(tool_calls=[REST]),
        chunk("tool_calls") | {"usage": USAGE},
    )

    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events:
        state.handle_event(EVENT.validate_python(event))
    response = state._completed_response
    assert response
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output_text == "Looking."
    assert response.output[2].to_dict()["arguments"] == '{"city": "Rome"}'
    assert json.loads(response.output[0].to_dict()["encrypted_content"])[0]["thinking"] == "Hm."  # type: ignore[arg-type]
    assert response.usage
    assert response.usage.total_tokens == 62


def test_the_last_event_holds_what_the_items_said() -> None:
    events = stream(chunk(content="Foxes"), chunk(tool_calls=[CALL]), chunk(tool_calls=[REST]), chunk("tool_calls"))

    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]

    assert done == events[-1]["response"]["output"]
