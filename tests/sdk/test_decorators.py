"""`@trace` over every kind of function: what is recorded, and that the function stays what it was."""

import asyncio
import contextvars
import gc
import inspect
import json
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

import spanwell
from spanwell.testing import Captured, capture


@pytest.fixture(name="captured")
def captured_spans() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


def texts(span: dict[str, Any]) -> tuple[Any, Any]:
    """Input and output of a span, decoded; None where there is none."""
    attributes = span["attributes"]
    return tuple(
        json.loads(attributes[name]) if name in attributes else None for name in ("spanwell.input", "spanwell.output")
    )  # type: ignore[return-value]


class Shop:
    @spanwell.trace(operation="execute_tool")
    def find(self, topic: str, *extra: int, limit: int = 3) -> list[str]:
        return [topic] * (limit + len(extra) - 2)

    @classmethod
    @spanwell.trace
    def named(cls, name: str) -> str:
        return name


@spanwell.trace(operation="retrieval")
def find_books(topic: str) -> list[str]:
    return [topic, f"more {topic}"]


@spanwell.trace(name="agent", operation="invoke_agent")
def recommend(topic: str) -> str:
    return find_books(topic)[0]


@spanwell.trace
async def ask(question: str) -> str:
    await asyncio.sleep(0)
    return find_books(question)[0]


@spanwell.trace
def tokens(text: str) -> Generator[str, str | None, int]:
    received = None
    for word in text.split():
        received = yield word if received is None else f"{received}!"
    return 7


@spanwell.trace
async def async_tokens(text: str) -> AsyncIterator[str]:
    for word in text.split():
        await asyncio.sleep(0)
        yield word


def test_a_whole_trace_compares_equal(captured: Captured) -> None:
    recommend("tea")

    assert captured.spans == [
        {
            "name": "find_books",
            "trace_id": "00000000000000000000000000000001",
            "span_id": "0000000000000002",
            "parent_span_id": "0000000000000001",
            "start_s": 2.0,
            "end_s": 3.0,
            "status": "unset",
            "status_message": "",
            "attributes": {
                "gen_ai.operation.name": "retrieval",
                "spanwell.input": '{"topic":"tea"}',
                "spanwell.output": '["tea","more tea"]',
            },
            "events": [],
        },
        {
            "name": "agent",
            "trace_id": "00000000000000000000000000000001",
            "span_id": "0000000000000001",
            "parent_span_id": "",
            "start_s": 1.0,
            "end_s": 4.0,
            "status": "unset",
            "status_message": "",
            "attributes": {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "agent",
                "spanwell.input": '{"topic":"tea"}',
                "spanwell.output": '"tea"',
            },
            "events": [],
        },
    ]


def test_arguments_are_named_and_self_is_left_out(captured: Captured) -> None:
    Shop().find("tea", 1, 2, limit=1)
    Shop.named("x")

    assert [span["name"] for span in captured.spans] == ["Shop.find", "Shop.named"]
    assert texts(captured.spans[0]) == ({"topic": "tea", "extra": [1, 2], "limit": 1}, ["tea"])
    assert texts(captured.spans[1]) == ({"name": "x"}, "x")


async def test_a_coroutine_has_a_span_around_its_awaits(captured: Captured) -> None:
    await asyncio.gather(ask("a"), ask("b"))

    children = [span for span in captured.spans if span["name"] == "find_books"]
    parents = {span["span_id"]: span for span in captured.spans if span["name"] == "ask"}
    assert [texts(parents[child["parent_span_id"]])[0]["question"] for child in children] == ["a", "b"]


def test_a_generator_lasts_from_first_to_last_item(captured: Captured) -> None:
    items = list(tokens("one two"))

    assert items == ["one", "two"]
    assert texts(captured.spans[0]) == ({"text": "one two"}, "onetwo")


def test_a_generator_that_is_never_started_has_no_span(captured: Captured) -> None:
    tokens("one two").close()

    assert captured.spans == []


def test_a_generator_is_sent_to_and_returns_as_before(captured: Captured) -> None:
    generator = tokens("one two")

    assert (next(generator), generator.send("hey")) == ("one", "hey!")
    with pytest.raises(StopIteration) as stop:
        generator.send(None)
    assert stop.value.value == 7


def test_an_exception_thrown_in_reaches_the_generator(captured: Captured) -> None:
    @spanwell.trace
    def patient() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    generator = patient()
    next(generator)

    assert generator.throw(KeyError("x")) == "caught"  # type: ignore[attr-defined]


def test_an_abandoned_generator_ends_its_span(captured: Captured) -> None:
    for _ in tokens("one two three"):
        break
    gc.collect()

    assert captured.spans[0]["status"] == "unset"
    assert texts(captured.spans[0])[1] == "one"


def test_nothing_is_current_while_a_generator_waits(captured: Captured) -> None:
    generator = tokens("one two")

    next(generator)

    assert spanwell.current_trace_id() is None
    generator.close()


def test_a_span_open_across_yields_keeps_its_children(captured: Captured) -> None:
    @spanwell.trace
    def steps() -> Iterator[int]:
        with spanwell.span("inner"):
            yield 1
            find_books("x")
            yield 2

    for _ in steps():
        assert spanwell.current_trace_id() is None

    by_name = {span["name"].rpartition(".")[2]: span for span in captured.spans}
    assert by_name["find_books"]["parent_span_id"] == by_name["inner"]["span_id"]
    assert by_name["inner"]["parent_span_id"] == by_name["steps"]["span_id"]


async def test_an_async_generator_is_recorded(captured: Captured) -> None:
    items = [item async for item in async_tokens("one two")]

    assert items == ["one", "two"]
    assert texts(captured.spans[0]) == ({"text": "one two"}, "onetwo")


async def test_an_async_generator_closed_in_another_task_ends_quietly(
    captured: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    @spanwell.trace
    async def stream() -> AsyncIterator[int]:
        with spanwell.span("inner"):
            yield 1
            yield 2

    generator = stream()
    await anext(generator)

    await asyncio.create_task(generator.aclose(), context=contextvars.Context())  # type: ignore[attr-defined]

    assert [span["name"].rpartition(".")[2] for span in captured.spans] == ["inner", "stream"]
    assert caplog.records == []
    assert spanwell.current_trace_id() is None


async def test_a_cancelled_call_is_an_error(captured: Captured) -> None:
    @spanwell.trace
    async def slow() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(slow())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert captured.spans[0]["attributes"]["error.type"] == "asyncio.exceptions.CancelledError"


def test_an_exception_is_recorded_and_raised_unchanged(captured: Captured) -> None:
    failure = ValueError("key sk-abcdefghijklmnopqrst is wrong")

    @spanwell.trace
    def fail() -> None:
        raise failure

    with pytest.raises(ValueError, match="is wrong") as raised:
        fail()

    assert raised.value is failure
    span = captured.spans[0]
    assert (span["status"], span["status_message"]) == ("error", "key [SECRET] is wrong")
    assert span["attributes"]["error.type"] == "ValueError"
    assert span["events"] == [
        {
            "name": "exception",
            "attributes": {"exception.type": "ValueError", "exception.message": "key [SECRET] is wrong"},
        }
    ]


def test_a_hostile_exception_is_still_recorded(captured: Captured) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @spanwell.trace
    def fail() -> None:
        raise HostileError

    with pytest.raises(HostileError):
        fail()

    assert captured.spans[0]["status"] == "error"


def test_content_can_be_left_out(captured: Captured) -> None:
    @spanwell.trace(capture_input=False, capture_output=False)
    def secret(word: str) -> str:
        return word

    secret("x")

    assert captured.spans[0]["attributes"] == {}


def test_content_can_be_switched_off_for_all() -> None:
    with capture(capture_content=False) as captured:
        recommend("tea")
        list(tokens("one"))

    assert all(texts(span) == (None, None) for span in captured.spans)


def test_the_function_keeps_its_face() -> None:
    assert (find_books.__name__, find_books.__doc__) == ("find_books", None)
    assert str(inspect.signature(tokens)) == "(text: str) -> collections.abc.Generator[str, str | None, int]"
    assert inspect.iscoroutinefunction(ask)
    assert inspect.isgeneratorfunction(tokens)
    assert inspect.isasyncgenfunction(async_tokens)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="decorates functions"):
        spanwell.trace(Shop)
