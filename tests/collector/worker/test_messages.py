import json

import pytest

from spanwell_collector.worker.messages import last_user_text, readable


def test_the_last_question_is_found() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": " second "},
        {"role": "tool", "content": "result"},
    ]

    assert last_user_text(json.dumps(messages)) == "second"


def test_parts_of_a_message_are_joined_and_images_left_out() -> None:
    parts = [
        {"type": "text", "text": "what is"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "it"},
    ]

    assert last_user_text(json.dumps([{"role": "user", "content": parts}])) == "what is\nit"


@pytest.mark.parametrize("text", ["plain text", "[1, 2]", '{"role": "user"}', "[" * 100_000, "9" * 10_000, ""])
def test_what_is_no_message_list_is_taken_as_it_is(text: str) -> None:
    assert last_user_text(text) == text
    assert readable(text) == text


@pytest.mark.parametrize("content", ["null", "7", '{"a": 1}', '[{"text": 5}, 3]'])
def test_content_of_a_strange_type_is_no_text(content: str) -> None:
    assert last_user_text(f'[{{"role": "user", "content": {content}}}]') == ""


def test_a_lone_surrogate_becomes_something_that_can_be_sent() -> None:
    assert last_user_text(r'[{"role": "user", "content": "a\ud800b"}]') == "a?b"
    assert readable(r'[{"role": "user", "content": "a\ud800b"}]') == "user: a?b"


def test_a_conversation_reads_as_blocks_with_tool_calls() -> None:
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "look"}}]},
    ]

    calls = '[{"name": "look", "arguments": null}]'
    assert readable(json.dumps(messages)) == f"user: weather?\n\nassistant: \ntool calls: {calls}"
