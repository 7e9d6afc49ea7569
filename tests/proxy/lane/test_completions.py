from typing import Any

from spanwell_proxy.lane.completions import ChunkTidier, drop_numbers, tidy_completion, tidy_text, tidy_usage


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    reason = {"finish_reason": finish_reason} if finish_reason else {}
    return {"choices": [{"index": 0, "delta": delta, **reason}]}


def test_a_message_without_words_says_so() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "tool_calls": [dict(call)]}

    tidied = tidy_completion({"choices": [{"message": message}]})

    assert tidied["choices"][0]["message"]["content"] is None
    assert "index" not in tidied["choices"][0]["message"]["tool_calls"][0]


def test_litellms_own_fields_are_said_once_and_its_prices_never() -> None:
    own = {"citations": None, "thinking_blocks": [{"type": "thinking"}], "images": ["x"]}
    message = {"content": "Yes.", "thinking_blocks": [{"type": "thinking"}], "provider_specific_fields": own}
    usage = {"total_tokens": 7, "cost": 0.5, "service_tier": "priority"}

    tidied = tidy_completion({"choices": [{"message": message}], "usage": usage})

    assert tidied == {
        "choices": [{"message": {"content": "Yes.", "thinking_blocks": [{"type": "thinking"}], "images": ["x"]}}],
        "usage": {"total_tokens": 7},
        "service_tier": "priority",
    }


def test_the_usage_of_a_stream_stands_alone() -> None:
    tidier = ChunkTidier()

    assert tidier.tidy(chunk() | {"usage": {"total_tokens": 7}})["choices"] == []
    assert tidier.tidy(chunk("stop") | {"usage": {"total_tokens": 7}})["choices"] != []
    assert tidier.tidy(chunk(content="x"))["choices"][0]["finish_reason"] is None


def test_thoughts_are_numbered_and_end_with_their_signature() -> None:
    tidier = ChunkTidier()
    pieces = [{"thinking": "a"}, {"thinking": "b", "signature": "x"}, {"data": "redacted"}, {"thinking": "c"}]

    tidied = [tidier.tidy(chunk(thinking_blocks=[piece])) for piece in pieces]

    assert [each["choices"][0]["delta"]["thinking_blocks"][0]["index"] for each in tidied] == [0, 0, 1, 2]


def test_the_numbers_do_not_go_back_to_the_provider() -> None:
    assert drop_numbers({"role": "assistant", "thinking_blocks": [{"data": "x", "index": 0}, 5]}) == {
        "role": "assistant",
        "thinking_blocks": [{"data": "x"}],
    }
    assert drop_numbers({"role": "user", "thinking_blocks": "x"}) == {"role": "user"}


def test_a_text_completion_has_texts() -> None:
    usage = {"total_tokens": 7}

    assert tidy_text({"choices": [{"index": 0, "finish_reason": "stop"}]})["choices"][0]["text"] == ""
    assert tidy_text({"choices": [{"index": 0}], "usage": usage}) == {"choices": [], "usage": usage}


def test_noughts_are_no_usage() -> None:
    assert tidy_usage({"id": "x", "usage": {"prompt_tokens": 0, "total_tokens": 0}}) == {"id": "x"}
