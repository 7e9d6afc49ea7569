import json

import pytest

from spanwell_dashboard.messages import Block, blocks
from spanwell_dashboard.untrusted import fold_blobs, label, plain


def test_messages_become_turns() -> None:
    text = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])

    assert blocks(text) == [Block("system", "system", "Be brief."), Block("user", "user", "Hi")]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    ],
)
def test_parts_of_either_dialect_are_joined(message: dict[str, object]) -> None:
    assert blocks(json.dumps([message])) == [Block("user", "user", "Hi")]


def test_a_tool_call_shows_its_arguments() -> None:
    call = {"function": {"name": "search", "arguments": '{"q": "eu"}'}}

    shown = blocks(json.dumps([{"role": "assistant", "content": None, "tool_calls": [call]}]))

    assert shown == [Block("tool", "calls search", '{\n  "q": "eu"\n}', is_json=True)]


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    call = {"function": {"name": "search", "arguments": '{"q": "e'}}

    assert blocks(json.dumps([{"role": "assistant", "tool_calls": [call]}]))[0].text == '{"q": "e'


@pytest.mark.parametrize(
    "text", ["not json", "[" * 100_000, '[{"role": 3}]', "[1, 2]", "null", '{"a": {"b": []}}', "[[]]"]
)
def test_whatever_a_span_carries_is_shown(text: str) -> None:
    assert blocks(text)[0].text


def test_no_text_is_no_block() -> None:
    assert blocks("") == []


def test_a_long_text_is_cut() -> None:
    shown = blocks("x" * 1_000_000)[0].text

    assert len(shown) == 64 * 1024
    assert shown.endswith("…")


def test_an_image_is_folded_to_its_size() -> None:
    assert fold_blobs("see data:image/png;base64," + "A" * 40_960) == "see data:image/png;base64,… 30 KB …"


def test_invisible_characters_show() -> None:
    assert plain("pay\u202egnp.exe\x00") == "pay\ufffdgnp.exe\ufffd"


@pytest.mark.parametrize(("name", "shown"), [("a<b>", "a&lt;b&gt;"), ("", "(none)"), ("a\nb", "a b")])
def test_a_label_is_one_line_without_markup(name: str, shown: str) -> None:
    assert label(name) == shown
