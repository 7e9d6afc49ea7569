"""What hostile prompts, slow guards and new configurations do to a running gateway: little."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.proxy.gateway import config, deployment
from tests.proxy.guards.conftest import OpenProxy
from tests.proxy.guards.echo import Echo

OWN = {"name": "own", "type": "call", "call": "tests.proxy.guards.our_guards:check", "timeout_seconds": 0.1}
ALL = [
    {"name": "persons", "type": "pii", "on": ["input", "output"]},
    {"name": "keys", "type": "secrets", "on": ["input", "output"]},
    {"name": "words", "type": "words", "deny": [r"(a+)+$"], "on": ["input", "output"], "action": "flag"},
    {"name": "tricks", "type": "injection"},
    {"name": "size", "type": "prompt", "max_chars": 3_000_000},
    {"name": "room", "type": "context", "max_tokens": 3_000_000},
]


def ask(content: Any) -> dict[str, Any]:
    return {"model": "fox", "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("said", "status", "seen"),
    [
        ("hello", 200, ""),
        ("bluebird", 400, "project"),
        ("slow", 503, "longer than 0.1 s"),
        ("broken", 503, "ValueError"),
    ],
)
async def test_an_operators_function_is_asked_within_its_time(
    guarded: OpenProxy, said: str, status: int, seen: str
) -> None:
    async with guarded(OWN) as proxy:
        answer = await proxy.post(ask(said))

    assert (answer.status_code, seen in answer.text) == (status, True)


async def test_one_that_fails_may_be_passed_over(guarded: OpenProxy) -> None:
    async with guarded(OWN | {"on_error": "pass"}) as proxy:
        answers = await asyncio.gather(*(proxy.post(ask(said)) for said in ("slow", "broken", "bluebird")))

    assert [answer.status_code for answer in answers] == [200, 200, 400]


@pytest.mark.parametrize(
    "unit", ["1-1111-", ":", "1 ", "a", "@a.b", "DE89 ", "\u200b", "[EMAIL_0", "ignore all ", '\\"', "🎉"]
)
async def test_a_megabyte_of_anything_is_looked_through_in_time(guarded: OpenProxy, echo: Echo, unit: str) -> None:
    echo.answers = ["fine"]
    async with guarded(*ALL) as proxy:
        started = time.process_time()
        answer = await proxy.post(ask(unit * (1_000_000 // len(unit))))

    assert answer.status_code == 200
    assert time.process_time() - started < 5


async def test_while_a_long_text_is_searched_others_go_on(guarded: OpenProxy, echo: Echo) -> None:
    echo.answers, turns = ["fine"] * 2, 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    async with guarded(*ALL[:2]) as proxy:
        await proxy.post(ask("what is imported at the first call is not to be measured"))
        watching = asyncio.create_task(watch())
        answer = await proxy.post(ask("012 345 " * 100_000))
        watching.cancel()

    assert answer.status_code == 200
    assert turns > 20


async def test_odd_contents_are_no_trouble(guarded: OpenProxy, echo: Echo) -> None:
    deep: Any = "anna@example.com"
    for _ in range(90):
        deep = {"text": [deep]}
    contents: list[Any] = [deep, [1, None, {"type": []}], {"a": {}}, "\u0000\u202e x"]
    async with guarded(*ALL) as proxy:
        answers = [await proxy.post(ask(content)) for content in contents]

    assert [answer.status_code for answer in answers] == [200, 200, 400, 200]  # one of them says nothing
    assert "anna" not in json.dumps(echo.requests)


async def test_what_is_escaped_in_a_tools_arguments_is_found(guarded: OpenProxy, echo: Echo) -> None:
    function = {"name": "mail", "arguments": '{"to": "anna\\u0040example.com"}'}
    call = {"id": "c", "type": "function", "function": function}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "sent"}]
    async with guarded(*ALL) as proxy:
        await proxy.post({"model": "fox", "messages": messages})

    assert json.loads(echo.requests[0]["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL]"}


async def test_a_new_configuration_brings_its_guards(guarded: OpenProxy, echo: Echo, tmp_path: Path) -> None:
    async with guarded() as proxy:
        before = await proxy.post(ask("anna@example.com"))
        guards = [{"name": "persons", "type": "pii", "action": "block"}]
        fresh = config(deployment(echo.url, "fox"), guards=guards)
        (tmp_path / "spanwell.yaml").write_text(yaml.safe_dump(fresh), encoding="utf-8")
        await proxy.post({}, "/admin/reload")
        after = await proxy.post(ask("anna@example.com"))

    assert (before.status_code, after.status_code) == (200, 400)
