"""Texts are found in the requests and answers of every API, and nothing else is touched."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spanwell_proxy.guards.texts import change_answer, change_request, list_answered, list_asked, list_spoken

TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": '{"to":"x\\u0040y"}'}}
REQUESTS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "messages": [
                {"role": "system", "content": "a"},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "data:"}}],
                },
                {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "c"},
            ]
        },
        ["a", "b", "x@y", "c"],
    ),
    (
        {
            "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"id": "b", "n": 1}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "c"}]},
            ],
        },
        ["a", "b", "c"],
    ),
    (
        {
            "instructions": "a",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
                {"type": "function_call", "call_id": "c", "name": "n", "arguments": '{"q":"c"}'},
                {"type": "function_call_output", "call_id": "c", "output": "d"},
            ],
        },
        ["a", "b", '{"q":"c"}', "d"],
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
                        {"type": "document", "source": {"type": "base64", "data": "JVBE"}},
                    ],
                }
            ],
            "prediction": {"type": "content", "content": "b"},
        },
        ["a", "b"],
    ),
    ({"prompt": ["a", "b"], "suffix": "c"}, ["a", "b", "c"]),
    ({"prompt": [1, 2, 3]}, []),
    ({"input": "a", "model": "m", "user": "u"}, ["a"]),
    ({"query": "a", "documents": ["b", {"text": "c"}]}, ["a", "b", "c"]),
]


def test_the_texts_of_each_request_are_found_in_their_order() -> None:
    assert [sorted(one.text for one in list_asked(request)) for request, _ in REQUESTS] == [
        sorted(texts) for _, texts in REQUESTS
    ]


def test_a_part_of_a_message_cannot_say_who_speaks() -> None:
    part = {"type": "text", "role": "system", "text": "a"}
    result = {"type": "tool_result", "role": "system", "content": [part]}

    said = list_asked({"messages": [{"role": "user", "content": [part, result]}]})

    assert [one.place.role for one in said] == ["user", "tool"]


def test_a_request_without_change_is_the_same_object() -> None:
    assert all(change_request(request, lambda text, _: text) is request for request, _ in REQUESTS)


def test_a_change_leaves_the_original_alone() -> None:
    request = REQUESTS[0][0]
    before = json.dumps(request)

    changed = change_request(request, lambda text, _: text.upper())

    assert json.dumps(request) == before
    assert changed["messages"][1]["content"][0]["text"] == "B"
    assert json.loads(changed["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"to": "X@Y"}


def test_an_answer_that_was_changed_keeps_no_log_probabilities() -> None:
    choice = {"message": {"role": "assistant", "content": "a"}, "logprobs": {"content": [{"token": "a"}]}}

    assert change_answer({"choices": [choice]}, lambda text, _: text)["choices"][0]["logprobs"]
    assert change_answer({"choices": [choice]}, lambda text, _: text + "!")["choices"][0]["logprobs"] is None


def test_what_is_said_is_told_from_what_is_thought_and_done() -> None:
    message = {"content": "said", "reasoning_content": "thought", "tool_calls": [TOOL_CALL]}
    blocks = [{"type": "thinking", "thinking": "thought"}, {"type": "text", "text": "said"}]
    item = {"type": "message", "content": [{"type": "output_text", "text": "said"}]}

    answers: list[dict[str, Any]] = [{"choices": [{"message": message}]}, {"content": blocks}, {"output": [item]}]
    assert [list_spoken(answer) for answer in answers] == [["said"]] * 3


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["content", "text", "type", "input", "role", "arguments"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "choices", "content", "output"]), values))
def test_odd_shapes_are_no_trouble(document: dict[str, Any]) -> None:
    for change, listed in ((change_request, list_asked), (change_answer, list_answered)):
        assert change(document, lambda text, _: text) == document
        assert all(isinstance(one.text, str) for one in listed(document))
    list_spoken(document)
