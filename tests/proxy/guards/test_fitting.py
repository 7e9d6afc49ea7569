"""A conversation is cut in its middle, between units that belong together."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spanwell_proxy.guards.fitting import fit

SYSTEM = {"role": "system", "content": "s"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


CHAT_TOOL = [
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]},
    {"role": "tool", "tool_call_id": "1", "content": "x"},
    {"role": "tool", "tool_call_id": "2", "content": "y"},
]
BLOCK_TOOL = [
    {"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]},
]
ITEM_TOOL = [
    {"type": "function_call", "call_id": "1"},
    {"type": "function_call", "call_id": "2"},
    {"type": "function_call_output", "call_id": "1"},
    {"type": "function_call_output", "call_id": "2"},
]


def one_each(_: Any) -> int:
    return 1


def test_the_systems_words_and_the_newest_turns_stay() -> None:
    messages = [SYSTEM, user("1"), said("2"), user("3"), said("4"), user("5")]

    assert fit(messages, 4, one_each) == [SYSTEM, user("3"), said("4"), user("5")]


def test_what_is_kept_begins_with_a_question() -> None:
    messages = [SYSTEM, user("1"), said("2"), user("3"), said("4"), user("5")]

    assert fit(messages, 3, one_each) == [SYSTEM, user("5")]


def test_a_tools_call_and_its_results_go_together() -> None:
    for tool in (CHAT_TOOL, BLOCK_TOOL, ITEM_TOOL):
        messages = [user("1"), *tool, said("2"), user("3")]
        for room in range(1, len(messages)):
            kept = fit(messages, room, one_each)
            assert kept
            assert len(kept) <= room
            assert all(one in kept for one in tool) or not any(one in kept for one in tool)


def test_what_cannot_fit_is_told() -> None:
    assert fit([SYSTEM, user("1")], 1, one_each) is None
    assert fit([], 1, one_each) is None


roles = st.sampled_from([SYSTEM, user("a"), said("b"), *CHAT_TOOL, *BLOCK_TOOL, *ITEM_TOOL, "text", 7])


@given(st.lists(roles, max_size=20), st.integers(0, 25))
def test_what_is_kept_is_the_head_and_a_tail_within_the_room(messages: list[Any], room: int) -> None:
    kept = fit(messages, room, one_each)

    if kept is not None:
        head = next((at for at, one in enumerate(messages) if one != SYSTEM), len(messages))
        tail = len(kept) - head
        assert len(kept) <= room
        assert kept == messages[:head] + messages[len(messages) - tail :]
