from typing import Any

import pytest

from spanwell.demo.answers import draw, is_weak
from spanwell.demo.drafts import compose_draft
from spanwell.demo.json_answers import fill_schema, judge_quality
from spanwell.demo.planted import SHIFT_TOPIC
from spanwell.demo.profiles import SLOW, STEADY
from spanwell.demo.tokens import PrefixCache, count_prompt_tokens, prompt_pieces, tokenize
from spanwell.demo.topics import RECALL, SUPPORT

VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "label": {"type": "string", "enum": ["pass", "fail"]}},
    "required": ["reason", "label"],
    "additionalProperties": False,
}


def ask(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def label(judged: str) -> str:
    prompt = f"BEGIN x1\n\n[input x1]\nuser: How?\n\n[output x1]\nassistant: {judged}\n\nEND x1"
    return str(fill_schema(VERDICT, prompt, draw(0, prompt))["label"])


@pytest.mark.parametrize("text", ["", " ", "one two", "  two  spaces\n\nand-lines, ünïcode 日本 12345678901"])
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text


def test_the_counted_tokens_are_the_pieces() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"text": "Hi there"}]},
    ]

    assert count_prompt_tokens(messages) == len(prompt_pieces(messages))


def test_only_a_shared_prefix_is_cached() -> None:
    cache = PrefixCache(capacity_tokens=1000)
    cache.admit(["a"] * 40)

    same, other_start = cache.admit(["a"] * 40), cache.admit(["b", *["a"] * 39])

    assert same == (32, 0)
    assert other_start == (0, 32)


def test_the_least_recently_used_block_goes_first() -> None:
    cache = PrefixCache(capacity_tokens=32)
    for piece in "abc":
        cache.admit([piece] * 17)

    assert cache.admit(["a"] * 17) == (0, 16)
    assert cache.admit(["c"] * 17) == (16, 0)


def test_the_steady_model_knows_every_topic_but_the_new_one() -> None:
    known = [compose_draft(ask(topic.questions[0]), STEADY, 1).text for topic in SUPPORT]
    new = compose_draft(ask(RECALL.questions[0]), STEADY, 1).text

    assert [is_weak(text) for text in known] == [False] * len(SUPPORT)
    assert RECALL.name == SHIFT_TOPIC
    assert is_weak(new)


def test_the_slow_model_is_vague_and_longer() -> None:
    question = ask(SUPPORT[0].questions[0])

    steady, slow = compose_draft(question, STEADY, 1), compose_draft(question, SLOW, 1)

    assert is_weak(slow.text)
    assert len(slow.pieces) > len(steady.pieces)


def test_the_judge_passes_most_good_answers_and_fails_most_weak_ones() -> None:
    steady = [
        label(compose_draft(ask(f"{topic.questions[0]} {n}"), STEADY, 1).text) for topic in SUPPORT for n in "abcde"
    ]
    slow = [label(compose_draft(ask(f"{topic.questions[0]} {n}"), SLOW, 1).text) for topic in SUPPORT for n in "abcde"]

    assert steady.count("pass") >= 25
    assert slow.count("fail") >= 25


def test_a_verdict_does_not_depend_on_the_nonce_around_the_text() -> None:
    assert judge_quality("BEGIN 3f9ac21b open the menu END 3f9ac21b") == judge_quality(
        "BEGIN 77c0de12 open the menu END 77c0de12"
    )


def test_an_earlier_weak_turn_in_the_input_is_not_what_is_judged() -> None:
    weak_input = "[input 1]\nassistant: I am sorry, I have no information about this subject.\n\n"

    assert judge_quality(weak_input + "[output 1]\nOpen Orders.") == judge_quality("[output 1]\nOpen Orders.")


def test_filled_schemas_are_valid() -> None:
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
            "kind": {"const": "order"},
            "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "name": {"type": ["string", "null"], "maxLength": 4},
        },
        "$defs": {"tag": {"type": "string", "enum": ["a", "b"]}},
    }

    value = fill_schema(schema, "Open the menu", draw(0))

    assert 1 <= value["score"] <= 5
    assert len(value["tags"]) == 2
    assert set(value["tags"]) <= {"a", "b"}
    assert (value["kind"], value["note"]) == ("order", None)
    assert len(value["name"]) <= 4


def test_a_schema_that_holds_itself_ends() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}

    assert "next" in fill_schema(schema, "", draw(0))
