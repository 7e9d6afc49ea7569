from typing import Any

import pytest

from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.chat_stream import ChatReader
from spanwell_proxy.upstream.continuing import ContinuingReader, can_continue, find_first

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Do foxes sleep?"}]}
CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Foxes "}}]}\n\n'


def said(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Foxes ", **message}}]}


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"json": {}}},
        {"guided_choice": ["yes", "no"]},
        {"n": 2},
        {"messages": [*ASKED["messages"], {"role": "assistant", "content": "Well, "}]},
    ],
)
def test_what_would_be_said_twice_is_not_gone_on_with(more: dict[str, Any]) -> None:
    assert not can_continue(CHAT, ASKED | more, said())


@pytest.mark.parametrize("more", [{"reasoning_content": "Hm."}, {"reasoning": "Hm."}, {"tool_calls": [{}]}])
def test_what_is_more_than_text_is_not_gone_on_with(more: dict[str, Any]) -> None:
    assert not can_continue(CHAT, ASKED, said(**more))


@pytest.mark.parametrize("more", [{}, {"response_format": {"type": "text"}}, {"n": 1}])
def test_plain_text_is_gone_on_with(more: dict[str, Any]) -> None:
    assert can_continue(CHAT, ASKED | more, said())


def test_all_that_was_said_counts_however_often_it_broke() -> None:
    first = ChatReader(hide_usage=False)
    first.feed(CHUNK * 3)
    second = ContinuingReader(first)
    second.feed(CHUNK * 2)

    third = ContinuingReader(find_first(second))
    third.feed(CHUNK)

    assert [reader.content_chunks for reader in (find_first(second), second, third)] == [6, 2, 1]
    assert third.document() == first.document()
