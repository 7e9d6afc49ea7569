"""Whatever API a message was written for, it is stored in one shape."""

import base64
import hashlib
from typing import Any

import pytest

from spanwell.messages import to_message, to_messages

PIXEL = base64.b64encode(b"not really a picture").decode()
TEXT = {"type": "text", "content": "hi"}
BLOB = {
    "type": "blob",
    "modality": "image",
    "mime_type": "image/png",
    "digest": f"sha256:{hashlib.sha256(b'not really a picture').hexdigest()}",
    "bytes": 20,
}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("hello ✓", [{"type": "text", "content": "hello ✓"}]),
        ([{"type": "text", "text": "one"}, "two"], [{"type": "text", "content": text} for text in ("one", "two")]),
        ([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}], [BLOB]),
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}], [BLOB]),
        (
            [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/cat.png"}}],
            [{"type": "uri", "modality": "image", "uri": "http://127.0.0.1/cat.png"}],
        ),
        ([{"type": "file", "file": {"file_data": f"data:image/png;base64,{PIXEL}"}}], [BLOB]),
        ([{"type": "file", "mediaType": "image/png", "data": PIXEL}], [BLOB]),
        ([{"type": "image", "mediaType": "image/png", "image": PIXEL}], [BLOB]),
        ([{"inlineData": {"mimeType": "image/png", "data": PIXEL.rstrip("=")}}], [BLOB]),
        ([{"type": "file", "file": {"file_id": "f-1"}}], [{"type": "file", "file": {"file_id": "f-1"}}]),
        ([{"text": "hi"}, {"text": "hm", "thought": True}], [TEXT, {"type": "reasoning", "content": "hm"}]),
        ([{"type": "thinking", "thinking": "hm"}], [{"type": "reasoning", "content": "hm"}]),
        (
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}],
            [{"type": "reasoning", "content": "hm"}],
        ),
        (None, []),
        ([{"type": "new thing", "x": 1}], [{"type": "new thing", "x": 1}]),
        ([7], [{"type": "text", "content": 7}]),
    ],
)
def test_content_becomes_parts(content: Any, parts: list[dict[str, Any]]) -> None:
    assert to_message({"role": "user", "content": content})["parts"] == parts


def test_every_api_calls_a_tool_in_the_same_words() -> None:
    openai = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"parcel": 7}'}}
    anthropic = {"type": "tool_use", "id": "c1", "name": "track", "input": {"parcel": 7}}

    vercel = {"type": "tool-call", "toolCallId": "c1", "toolName": "track", "input": '{"parcel": 7}'}
    gemini = {"functionCall": {"id": "c1", "name": "track", "args": {"parcel": 7}}}

    made = [
        to_message({"role": "assistant", "content": None, "tool_calls": [openai]}),
        to_message({"role": "assistant", "content": [anthropic]}),
        to_message({"role": "assistant", "content": [vercel]}),
        to_message({"role": "assistant", "parts": [gemini]}),
    ]

    part = {"type": "tool_call", "id": "c1", "name": "track", "arguments": {"parcel": 7}}
    assert made == [{"role": "assistant", "parts": [part]}] * 4


def test_every_api_answers_for_a_tool_in_the_same_words() -> None:
    openai = to_message({"role": "tool", "tool_call_id": "c1", "content": "on its way"})
    block = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "on its way"}]}
    anthropic = to_message({"role": "user", "content": [block]})
    said = {"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "on its way"}}
    vercel = to_message({"role": "tool", "content": [said]})
    gemini = to_message({"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": "on its way"}}]})

    assert openai["parts"] == anthropic["parts"] == vercel["parts"] == gemini["parts"]
    assert openai["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "on its way"}]


def test_what_has_the_shape_already_keeps_it() -> None:
    message = {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}

    assert to_message(message) == message


@pytest.mark.parametrize("value", ["text", {"role": "user"}, [1], [{"content": "no role"}], None])
def test_what_is_no_list_of_messages_is_told_apart(value: object) -> None:
    assert to_messages(value) is None


@pytest.mark.parametrize("content", [{"a": {"b": [1]}}, [None], [{"type": 7}], [{"type": ["x"]}], [{}], [[[]]]])
def test_nonsense_is_kept_and_never_raises(content: object) -> None:
    made = to_message({"role": "user", "content": content, "tool_calls": [None, 3, {"function": 4}]})

    assert made["role"] == "user"
    assert len(made["parts"]) >= 4
    assert to_message({"role": "tool", "content": content})["parts"]


def test_a_tools_message_without_an_id_is_still_a_tools() -> None:
    assert to_message({"role": "tool", "content": "12 °C"})["parts"] == [
        {"type": "tool_call_response", "id": "", "response": "12 °C"}
    ]
