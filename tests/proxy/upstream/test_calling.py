"""Retries, fallbacks and breakers, through a gateway."""

import asyncio

import pytest

from spanwell import conventions as c
from tests.proxy.gateway import ASK
from tests.proxy.sink import Sink
from tests.proxy.upstream.conftest import Scripted

STREAM = ASK | {"stream": True}
ONCE = {"num_retries": 0}


@pytest.mark.parametrize("fault", ["too long for it", "against its policy"])
async def test_what_a_model_cannot_answer_goes_to_the_one_that_can(scripted: Scripted, sink: Sink, fault: str) -> None:
    settings = {
        "fallbacks": [{"fox": ["other"]}],
        "context_window_fallbacks": [{"fox": ["long"]}],
        "content_policy_fallbacks": [{"fox": ["lenient"]}],
    }
    scripts = {"fox/a": [fault], "other/b": ["well"], "long/c": ["well"], "lenient/d": ["well"]}
    async with scripted(scripts, router_settings=settings) as (proxy, backend):
        reply = await proxy.post()

    (span,) = await sink.wait(1)
    asked = [case for case in "abcd" if backend.requests[case]]
    assert (reply.status_code, span.attributes[c.ATTEMPTS]) == (200, 2)
    assert asked == ["a", "c" if fault == "too long for it" else "d"]


async def test_the_clients_own_mistake_goes_to_no_fallback(scripted: Scripted) -> None:
    settings = {"fallbacks": [{"fox": ["other"]}]}
    async with scripted({"fox/a": ["400"], "other/b": ["well"]}, router_settings=settings) as (proxy, backend):
        reply = await proxy.post()

    assert (reply.status_code, len(backend.requests["b"])) == (400, 0)


@pytest.mark.parametrize("fault", ["401", "404 of the route", "redirect", "500", "reset before the answer"])
async def test_what_fails_at_one_deployment_is_asked_of_another(scripted: Scripted, sink: Sink, fault: str) -> None:
    settings = {"num_retries": 1}
    async with scripted({"fox/a": [fault], "fox/b": ["well"]}, {"order": 1}, router_settings=settings) as (proxy, _):
        replies = [await proxy.post() for _ in range(8)]

    spans = await sink.wait(8)
    assert {reply.status_code for reply in replies} == {200}
    assert max(span.attributes[c.ATTEMPTS] for span in spans) == 2


async def test_the_file_says_how_often_each_kind_of_failure_is_tried_again(scripted: Scripted) -> None:
    policy = {"RateLimitErrorRetries": 0, "InternalServerErrorRetries": 2, "BadRequestErrorRetries": 1}
    settings = {"num_retries": 1, "retry_policy": policy}
    scripts = {"fox/a": ["429"], "hen/b": ["500"], "owl/c": ["400"], "cat/d": ["503"]}
    async with scripted(scripts, router_settings=settings) as (proxy, backend):
        for model in ("fox", "hen", "owl", "cat"):
            await proxy.post(ASK | {"model": model})

    assert [len(backend.requests[case]) for case in "abcd"] == [1, 3, 2, 2]


async def test_a_model_that_cools_is_asked_after_its_fallback(scripted: Scripted, sink: Sink) -> None:
    settings = ONCE | {"fallbacks": [{"fox": ["hen"]}], "cooldown_time": 60}
    async with scripted({"fox/a": ["500"], "hen/b": ["well"]}, router_settings=settings) as (proxy, backend):
        replies = [await proxy.post() for _ in range(5)]

    spans = await sink.wait(5)
    assert {reply.status_code for reply in replies} == {200}
    assert len(backend.requests["a"]) == 3  # then its breaker opened
    assert [span.attributes[c.ATTEMPTS] for span in spans] == [2, 2, 2, 1, 1]


async def test_a_deployment_that_cooled_is_probed_and_trusted_again(scripted: Scripted) -> None:
    sections = {"router_settings": ONCE, "resilience": {"breaker": {"failures": 2, "cool_seconds": 0.3}}}
    scripts = {"fox/a": ["500", "500", "well"], "fox/b": ["well"]}
    async with scripted(scripts, **sections) as (proxy, backend):
        for _ in range(30):
            await proxy.post()
        cooling = len(backend.requests["a"])
        await asyncio.sleep(0.35)
        for _ in range(20):
            await proxy.post()

    assert cooling == 2
    assert len(backend.requests["a"]) > 5


async def test_a_calls_time_bounds_all_its_attempts(scripted: Scripted, sink: Sink) -> None:
    settings = {"num_retries": 50}
    scripts = {"fox/a": ["hang before the headers"]}
    resilience = {"models": {"fox": {"deadline_seconds": 0.8}}}
    async with scripted(scripts, {"timeout": 0.3}, router_settings=settings, resilience=resilience) as (proxy, _):
        reply = await proxy.post()

    (span,) = await sink.wait(1)
    assert reply.status_code == 504
    assert 0.5 < span.duration_s < 1.6


@pytest.mark.parametrize(
    ("fault", "knobs"),
    [
        ("hang before the headers", {"first_byte_seconds": 0.3}),
        ("hang after the headers", {"first_content_seconds": 0.3}),
        ("stall after the role", {"first_content_seconds": 0.3}),
    ],
)
async def test_a_stream_that_is_silent_is_tried_again_unseen(
    scripted: Scripted, sink: Sink, fault: str, knobs: dict[str, float]
) -> None:
    async with scripted({"fox/a": [fault, "well"]}, resilience=knobs) as (proxy, backend):
        reply = await proxy.post(STREAM)
        await asyncio.wait_for(backend.left["a"].wait(), 1.0)

    (span,) = await sink.wait(1)
    assert reply.text.count('"role"') == 1
    assert reply.text.endswith("data: [DONE]\n\n")
    assert (span.error, span.attributes[c.ATTEMPTS]) == (False, 2)


async def test_what_says_nothing_is_held_back_only_so_long(scripted: Scripted, sink: Sink) -> None:
    knobs = {"hold_seconds": 0.2, "first_content_seconds": 0.8}
    async with scripted({"fox/a": ["stall after the role"]}, resilience=knobs) as (proxy, _):
        reply = await proxy.post(STREAM)

    (span,) = await sink.wait(1)
    assert '"role"' in reply.text
    assert '"error"' in reply.text
    assert (span.attributes[c.ERROR_TYPE], span.attributes[c.ATTEMPTS]) == ("upstream_timeout", 1)


async def test_what_failed_attempts_reported_is_on_the_bill_too(scripted: Scripted, sink: Sink) -> None:
    ask = {"model": "fox", "messages": ASK["messages"], "max_tokens": 9, "stream": True}
    async with scripted({"fox/a": ["close after the role", "well"]}) as (proxy, _):
        await proxy.post(ask, "/v1/messages")

    (span,) = await sink.wait(1)
    first, second = sorted(sink.attempts, key=lambda one: one.attributes[c.ATTEMPT_NUMBER])
    assert span.attributes[c.INPUT_TOKENS] == 84
    assert (first.attributes[c.ATTEMPT_INPUT_TOKENS], second.attributes[c.ATTEMPT_INPUT_TOKENS]) == (42, 42)
