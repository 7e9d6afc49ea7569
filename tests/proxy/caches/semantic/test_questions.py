"""What is compared by meaning, and what has to be the very same."""

from typing import Any

import pytest

from spanwell_proxy.caches.semantic.questions import read_question

ASKED: dict[str, Any] = {
    "model": "fox",
    "messages": [{"role": "system", "content": "You know foxes."}, {"role": "user", "content": "Do they sleep?"}],
}


def read(request: dict[str, Any], tenant: str = "t", most_temperature: float = 1.0) -> Any:
    return read_question("chat", tenant, request, most_temperature)


def test_the_last_turn_is_the_question() -> None:
    assert read(ASKED).text == "Do they sleep?"


def test_a_question_may_come_as_one_part() -> None:
    part = {"role": "user", "content": [{"type": "text", "text": "Do they sleep?"}]}

    assert read({**ASKED, "messages": [ASKED["messages"][0], part]}) == read(ASKED)


def test_how_it_is_delivered_does_not_matter() -> None:
    assert read({**ASKED, "stream": True, "user": "ada"}) == read(ASKED)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "owl"},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "system", "content": "You know owls."}, ASKED["messages"][1]]},
        {"messages": [ASKED["messages"][1]]},
    ],
)
def test_whatever_else_may_change_the_answer_is_another_partition(change: dict[str, Any]) -> None:
    assert read({**ASKED, **change}).partition != read(ASKED).partition


def test_tenants_are_apart() -> None:
    assert read(ASKED, "a").partition != read(ASKED, "b").partition


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [{"type": "function"}]},
        {"n": 2},
        {"temperature": 1.5},
        {"temperature": "hot"},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "user", "content": "x" * 3000}]},
        {"messages": [{"role": "user", "content": "x", "name": "ada"}]},
        {"messages": ["x"]},
    ],
)
def test_what_cannot_be_compared_is_no_question(change: dict[str, Any]) -> None:
    assert read({**ASKED, **change}) is None
