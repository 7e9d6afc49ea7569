"""`span`, `score`, `session` and `headers`: what they record, and how they nest."""

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import context

import spanwell
from spanwell.testing import Captured, capture


@pytest.fixture(name="captured")
def captured_spans() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


def test_attributes_and_texts_are_stored(captured: Captured) -> None:
    with spanwell.span("rank", operation="execute_tool", candidates=9, price=Decimal("1.5"), input={"q": 1}) as span:
        span.set(output=["a"], best="a")

    assert captured.spans[0]["attributes"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "rank",
        "candidates": 9,
        "price": '"1.5"',
        "spanwell.input": '{"q":1}',
        "spanwell.output": '["a"]',
        "best": "a",
    }


def test_an_exception_in_a_block_is_recorded_and_goes_on(captured: Captured) -> None:
    with pytest.raises(KeyError), spanwell.span("rank"):
        raise KeyError("missing")

    assert captured.spans[0]["status"] == "error"
    assert captured.spans[0]["attributes"] == {"error.type": "KeyError"}


async def test_spans_nest_under_async_with(captured: Captured) -> None:
    async with spanwell.span("outer") as outer:
        await asyncio.sleep(0)
        async with spanwell.span("inner"):
            pass

    assert [span["parent_span_id"] for span in captured.spans] == [outer.span_id, ""]


def test_the_current_trace_is_the_spans(captured: Captured) -> None:
    assert spanwell.current_trace_id() is None

    with spanwell.span("rank") as span:
        assert spanwell.current_trace_id() == span.trace_id == "00000000000000000000000000000001"

    assert spanwell.current_trace_id() is None


def test_a_block_left_from_another_context_leaves_no_trace_in_it(
    captured: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    span = spanwell.span("rank")
    contextvars.Context().run(span.__enter__)

    span.__exit__(None, None, None)

    assert context.get_current() == {}
    assert caplog.records == []


def test_headers_carry_span_and_session(captured: Captured) -> None:
    with spanwell.session(user_id="u1", session_id="s1"), spanwell.span("rank"):
        headers = spanwell.headers()

    assert headers == {
        "traceparent": "00-00000000000000000000000000000001-0000000000000001-01",
        "x-spanwell-user": "u1",
        "x-spanwell-session": "s1",
    }


@pytest.mark.parametrize("user_id", ["jürgen", "a\r\nx-admin: 1", ""])
def test_an_id_that_no_header_can_hold_is_left_out(captured: Captured, user_id: str) -> None:
    with spanwell.session(user_id=user_id):
        assert "x-spanwell-user" not in spanwell.headers() or user_id == ""


def test_a_session_reaches_every_span_inside_and_none_outside(captured: Captured) -> None:
    with spanwell.session(user_id="u1"):
        with spanwell.session(session_id="s1"), spanwell.span("both"):
            pass
        with spanwell.span("user"):
            pass
    with spanwell.span("none"):
        pass

    assert [span["attributes"] for span in captured.spans] == [
        {"user.id": "u1", "session.id": "s1"},
        {"user.id": "u1"},
        {},
    ]


def test_a_score_stands_on_the_current_span(captured: Captured) -> None:
    with spanwell.span("rank"):
        spanwell.score("helpful", 0.5, comment="key sk-abcdefghijklmnopqrst", source="user")

    assert captured.scores == [
        {
            "trace_id": "00000000000000000000000000000001",
            "span_id": "0000000000000001",
            "name": "helpful",
            "value": 0.5,
            "comment": "key [SECRET]",
            "source": "user",
            "ts": "1970-01-01T00:00:02+00:00",
        }
    ]


def test_a_score_may_name_a_trace(captured: Captured) -> None:
    spanwell.score("helpful", True, trace_id="ab" * 16)

    assert [(score["trace_id"], score["span_id"], score["value"]) for score in captured.scores] == [
        ("ab" * 16, "", 1.0)
    ]


@pytest.mark.parametrize(("value", "trace_id"), [(1.0, None), (float("nan"), "ab" * 16)])
def test_a_score_without_a_place_or_a_value_is_logged_and_dropped(
    captured: Captured, caplog: pytest.LogCaptureFixture, value: float, trace_id: str | None
) -> None:
    spanwell.score("helpful", value, trace_id=trace_id)

    assert captured.scores == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_odd_names_and_values_do_not_break_the_host(captured: Captured) -> None:
    with spanwell.span("lone \ud800") as span_in_block:
        span_in_block.set(**{"key \ud800": "value \ud800", "": None, "big": 2**80})

    span = captured.spans[0]
    assert span["name"] == "lone ?"
    assert span["attributes"]["key ?"] == "value ?"
    assert span["attributes"]["big"] == "1208925819614629174706176"


def test_captures_do_not_mix() -> None:
    with capture() as first:
        with capture() as second, spanwell.span("inner"):
            pass
        with spanwell.span("outer"):
            pass

    assert [[span["name"] for span in captured.spans] for captured in (first, second)] == [["outer"], ["inner"]]
    assert first.trace()[0]["span_id"] == second.trace()[0]["span_id"] == "0000000000000001"
