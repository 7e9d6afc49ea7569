"""The operator's own functions: what they may say, and what becomes of those that fail."""

from collections.abc import Mapping
from typing import Any

import pytest

from spanwell_proxy.guards.callables import judge_by_call
from spanwell_proxy.guards.judging import Finding, GuardFailedError, Subject

REQUEST = {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}


async def look(function: Any) -> Finding:
    async def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError

    return await judge_by_call(function)(Subject("input", "fox", REQUEST, None, "anna", ask))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, {}),
        (False, {}),
        (True, {"found": 1}),
        ("rude", {"rude": 1}),
        ({"found": {"rude": 2}}, {"rude": 2}),
        ({"found": {}}, {}),
    ],
)
async def test_it_says_what_it_found(said: Any, found: dict[str, int]) -> None:
    assert (await look(lambda _: said)).found == found


async def test_it_is_told_whats_said_and_by_whom() -> None:
    seen: list[Mapping[str, Any]] = []

    await look(seen.append)

    assert seen == [
        {"where": "input", "model": "fox", "user": "anna", "texts": ["a", "b"], "request": REQUEST, "answer": None}
    ]


async def test_a_coroutine_function_may_put_texts_in_their_place() -> None:
    async def shout(told: Mapping[str, Any]) -> Any:
        return {"found": {"quiet": 2}, "texts": [text.upper() for text in told["texts"]]}

    finding = await look(shout)

    assert finding.changed
    assert [turn["content"] for turn in finding.changed["messages"]] == ["A", "B"]


def fail(_: Any) -> None:
    raise ValueError("with a secret in it")


@pytest.mark.parametrize(
    "function", [fail, lambda _: 7, lambda _: {"found": 3}, lambda _: {"found": {"x": 1}, "texts": ["a"]}]
)
async def test_one_that_fails_is_told_apart_without_its_words(function: Any) -> None:
    with pytest.raises(GuardFailedError) as caught:
        await look(function)

    assert "secret" not in str(caught.value)
