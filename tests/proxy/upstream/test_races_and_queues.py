"""Hedges, queues, continuations and departures, through a gateway."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from spanwell import conventions as c
from spanwell_proxy.upstream.traffic import Traffic
from tests.proxy.access.test_keys import make
from tests.proxy.backend import WORDS, until
from tests.proxy.gateway import ASK
from tests.proxy.sink import Sink
from tests.proxy.upstream.conftest import Scripted, leave

STREAM = ASK | {"stream": True}
HEDGED = {"models": {"fox": {"hedge_after": 0.1}}}


@pytest.mark.parametrize("ask", [ASK, STREAM])
async def test_a_slow_answer_is_overtaken_by_a_second_attempt(
    scripted: Scripted, sink: Sink, ask: Mapping[str, Any]
) -> None:
    scripts = {"fox/a": ["hang before the headers"], "fox/b": ["well"]}
    async with scripted(scripts, {"weight": 1}, resilience=HEDGED) as (proxy, backend):
        replies = [await proxy.post(ask) for _ in range(6)]
        await asyncio.wait_for(backend.left["a"].wait(), 1.0)

    spans = await sink.wait(6)
    hedged = [span for span in spans if span.attributes[c.ATTEMPTS] == 2]
    assert {reply.status_code for reply in replies} == {200}
    assert hedged
    assert {one.attributes[c.ATTEMPT_WHY] for one in sink.attempts} == {"first", "hedge"}
    assert all(span.attributes[c.DEPLOYMENT] == "b" for span in spans)
    assert all(span.attributes[c.USAGE_ESTIMATED] for span in hedged)
    assert all(float(span.attributes[c.COST_USD]) > 0.0000676 for span in hedged)  # both are paid


@pytest.mark.parametrize(("calls_worth", "attempts"), [("1.5", 1), ("40", 2)])
async def test_a_hedge_needs_room_in_the_budget_for_both(
    scripted: Scripted, sink: Sink, calls_worth: str, attempts: int
) -> None:
    brief = ASK | {"max_tokens": 30}
    most_usd = Decimal(len(httpx.Request("POST", "http://x", json=brief).content)) / 10**6 + Decimal("0.00006")
    async with scripted({"fox/a": ["slow"], "fox/b": ["slow"]}, resilience=HEDGED) as (proxy, _):
        made = await make(proxy, budgets=[{"usd": str(most_usd * Decimal(calls_worth)), "period": "total"}])
        reply = await proxy.post(brief, authorization=f"Bearer {made['key']}")

    (span,) = await sink.wait(1)
    assert (reply.status_code, span.attributes[c.ATTEMPTS]) == (200, attempts)


async def test_a_hedge_that_fails_does_not_spoil_the_race(scripted: Scripted, sink: Sink) -> None:
    async with scripted({"fox/a": ["slow"], "fox/b": ["500"]}, resilience=HEDGED) as (proxy, _):
        replies = [await proxy.post() for _ in range(4)]

    await sink.wait(4)
    assert {reply.status_code for reply in replies} == {200}


@pytest.mark.parametrize("ask", [ASK | {"store": True}, ASK])
async def test_what_is_stored_or_not_slow_is_asked_once(scripted: Scripted, sink: Sink, ask: Mapping[str, Any]) -> None:
    fault = "slow" if "store" in ask else "well"
    async with scripted({"fox/a": [fault], "fox/b": [fault]}, resilience=HEDGED) as (proxy, _):
        await proxy.post(ask)

    (span,) = await sink.wait(1)
    assert span.attributes[c.ATTEMPTS] == 1


async def test_a_quantile_of_late_says_when_an_answer_is_slow(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"hedge_after": "p90"}}}
    scripts = {"fox/a": [*["well"] * 20, "hang before the headers"], "fox/b": ["well"]}
    async with scripted(scripts, resilience=knobs) as (proxy, backend):
        replies = [await proxy.post() for _ in range(30)]
        while len(backend.requests["a"]) < 22:
            replies.append(await proxy.post(timeout_s=5))

    await sink.wait(len(replies))
    assert {reply.status_code for reply in replies} == {200}
    assert any(one.attributes[c.ATTEMPT_WHY] == "hedge" for one in sink.attempts)


async def test_a_slow_answer_counts_as_slow_though_it_was_overtaken(
    scripted: Scripted, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[float] = []
    monkeypatch.setattr(Traffic, "note", lambda _self, _model, elapsed_s: noted.append(elapsed_s))
    monkeypatch.setattr(Traffic, "hedge_after_s", lambda *_: 0.3)
    knobs = {"models": {"fox": {"hedge_after": "p95"}}}
    scripts = {"fox/a": ["hang before the headers"], "fox/b": ["well"]}
    async with scripted(scripts, resilience=knobs) as (proxy, _):
        for _ in range(8):
            await proxy.post()

    hedged = [span for span in await sink.wait(8) if span.attributes[c.ATTEMPTS] == 2]
    assert len([elapsed_s for elapsed_s in noted if elapsed_s >= 0.3]) == len(hedged)
    assert hedged


async def test_calls_beyond_the_bound_wait_their_turn(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"concurrency": 1}}}
    async with scripted({"fox/a": ["slow"]}, resilience=knobs) as (proxy, _):
        first = asyncio.create_task(proxy.post(ASK | {"user": "1"}))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(proxy.post(ASK | {"user": "2"}))
        await asyncio.sleep(0.05)
        third = asyncio.create_task(proxy.post(ASK | {"user": "3"}))
        replies = await asyncio.gather(first, second, third)

    spans = await sink.wait(3)
    assert {reply.status_code for reply in replies} == {200}
    assert [span.attributes[c.USER_ID] for span in spans] == ["1", "2", "3"]
    waits = [span.attributes.get(c.QUEUE_WAIT_MS, 0.0) for span in spans]
    assert waits[0] < 50 < 200 < waits[1] < waits[2]


async def test_a_line_that_is_full_turns_calls_away(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"concurrency": 1, "max_waiting": 1}}}
    async with scripted({"fox/a": ["slow"]}, resilience=knobs) as (proxy, backend):
        waiting = [asyncio.create_task(proxy.post()) for _ in range(4)]
        replies = await asyncio.gather(*waiting)

    await sink.wait(4)
    refused = [reply for reply in replies if reply.status_code == 429]
    assert (len(refused), len(backend.requests["a"])) == (2, 2)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
    assert refused[0].json()["error"]["code"] == "queue_full"


async def test_nobody_waits_longer_than_the_file_says(scripted: Scripted) -> None:
    knobs = {"models": {"fox": {"concurrency": 1, "max_wait_seconds": 0.1}}}
    async with scripted({"fox/a": ["slow"]}, resilience=knobs) as (proxy, _):
        replies = await asyncio.gather(proxy.post(), proxy.post())

    assert sorted(reply.status_code for reply in replies) == [200, 429]


async def test_a_deployment_that_is_full_leaves_calls_to_the_others(scripted: Scripted, sink: Sink) -> None:
    async with scripted({"fox/a": ["slow"], "fox/b": ["slow"]}, {"max_parallel_requests": 1}) as (proxy, backend):
        replies = await asyncio.gather(*(proxy.post() for _ in range(4)))

    await sink.wait(4)
    assert {reply.status_code for reply in replies} == {200}
    assert [len(backend.requests[case]) for case in "ab"] == [2, 2]


@pytest.mark.parametrize("fallback", ["well", "500"])
async def test_a_full_line_sends_calls_to_the_fallback(scripted: Scripted, fallback: str) -> None:
    knobs = {"models": {"fox": {"concurrency": 1, "max_waiting": 0}}}
    settings = {"num_retries": 0, "fallbacks": [{"fox": ["hen"]}]}
    scripts = {"fox/a": ["slow"], "hen/b": [fallback]}
    async with scripted(scripts, router_settings=settings, resilience=knobs) as (proxy, backend):
        replies = await asyncio.gather(proxy.post(), proxy.post())

    assert (len(backend.requests["a"]), len(backend.requests["b"])) == (1, 1)
    assert sorted(reply.status_code for reply in replies) == [200, 200 if fallback == "well" else 500]


async def test_nobody_waits_longer_than_a_call_has(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"concurrency": 1, "deadline_seconds": 0.3}}}
    async with scripted({"fox/a": ["slower"]}, resilience=knobs) as (proxy, _):
        await asyncio.gather(proxy.post(), proxy.post())

    waits = [span.attributes.get(c.QUEUE_WAIT_MS, 0.0) for span in await sink.wait(2)]
    assert 200 < max(waits) < 450


@pytest.mark.parametrize(
    "knobs", [{"deployments": {"a": {"concurrency": 1}}}, {"models": {"fox": {"hedge_after": 0.05}}}]
)
async def test_who_is_busy_may_be_the_only_one_that_may_answer(scripted: Scripted, knobs: Mapping[str, Any]) -> None:
    policy = {"default": {"tiers": {"gold": ["a"], "other": ["b"]}}}
    scripts = {"fox/a": ["slow"], "fox/b": ["well"]}
    async with scripted(scripts, routing=policy, resilience=knobs) as (proxy, backend):
        replies = await asyncio.gather(*(proxy.post(x_spanwell_tier="gold") for _ in range(2)))

    assert [reply.status_code for reply in replies] == [200, 200]
    assert (len(backend.requests["a"]), len(backend.requests["b"])) == (2, 0)


async def test_who_leaves_the_line_makes_room(scripted: Scripted) -> None:
    knobs = {"models": {"fox": {"concurrency": 1, "max_waiting": 1}}}
    async with scripted({"fox/a": ["slower"]}, resilience=knobs) as (proxy, _):
        first = asyncio.create_task(proxy.post())
        await asyncio.sleep(0.1)
        with pytest.raises(httpx.ReadTimeout):
            await proxy.post(timeout_s=0.2)
        await asyncio.sleep(0.5)
        third = await proxy.post()

    assert ((await first).status_code, third.status_code) == (200, 200)


async def test_a_stream_that_breaks_is_gone_on_with(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"continuation": True}}}
    async with scripted({"fox/a": ["two words, then a close", "well"]}, resilience=knobs) as (proxy, backend):
        reply = await proxy.post(STREAM | {"max_tokens": 50})

    (span,) = await sink.wait(1)
    chunks = [json.loads(line[6:]) for line in reply.text.split("\n\n") if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    again = backend.requests["a"][1]
    assert text == "".join((*WORDS[:2], *WORDS))  # the backend of the tests does not read what it should go on with
    assert again["messages"][-1] == {"role": "assistant", "content": "".join(WORDS[:2])}
    assert (again["continue_final_message"], again["add_generation_prompt"], again["max_tokens"]) == (True, False, 48)
    assert reply.text.count('"role"') == 1
    assert reply.text.endswith("data: [DONE]\n\n")
    assert (span.error, span.attributes[c.CONTINUED], span.attributes[c.USAGE_ESTIMATED]) == (False, True, True)
    assert span.attributes[c.OUTPUT_TOKENS] == 22


async def test_a_completion_goes_on_with_its_prompt(scripted: Scripted, sink: Sink) -> None:
    knobs = {"deployments": {"a": {"continuation": True}}}
    async with scripted({"fox/a": ["two words, then a close", "well"]}, resilience=knobs) as (proxy, backend):
        reply = await proxy.post({"model": "fox", "prompt": "Do foxes? ", "stream": True}, "/v1/completions")

    await sink.wait(1)
    assert backend.requests["a"][1]["prompt"] == "Do foxes? Foxes do "
    assert reply.text.endswith("data: [DONE]\n\n")


async def test_a_tool_call_is_not_gone_on_with(scripted: Scripted, sink: Sink) -> None:
    knobs = {"models": {"fox": {"continuation": True}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    async with scripted({"fox/a": ["two words, then a close", "well"]}, resilience=knobs) as (proxy, _):
        reply = await proxy.post(STREAM | {"tools": tools})

    (span,) = await sink.wait(1)
    assert '"error"' in reply.text
    assert (span.error, span.attributes[c.ATTEMPTS]) == (True, 1)


@pytest.mark.parametrize(
    ("fault", "ask", "output"),
    [
        ("hang before the headers", ASK, 0),
        ("stall midway", ASK, 0),
        ("stall after the role", STREAM, 0),
        ("stall midway", STREAM, 1),
    ],
)
async def test_a_client_that_leaves_frees_the_backend_and_pays(
    scripted: Scripted, sink: Sink, fault: str, ask: Mapping[str, Any], output: int
) -> None:
    async with scripted({"fox/a": [fault]}) as (proxy, backend):
        await leave(proxy, ask, 0.3)
        await asyncio.wait_for(backend.left["a"].wait(), 1.0)
        (span,) = await sink.wait(1)

    assert span.attributes[c.HTTP_STATUS] == (499 if output == 0 else 200)
    assert span.attributes[c.INPUT_TOKENS] > 0
    assert (span.attributes[c.OUTPUT_TOKENS], span.attributes[c.USAGE_ESTIMATED]) == (output, True)
    assert float(span.attributes[c.COST_USD]) > 0


async def test_a_client_that_leaves_a_race_frees_both_backends(scripted: Scripted, sink: Sink) -> None:
    scripts = {"fox/a": ["hang before the headers"], "fox/b": ["hang before the headers"]}
    async with scripted(scripts, resilience=HEDGED) as (proxy, backend):
        await leave(proxy, ASK, 0.5)
        await until(lambda: backend.left["a"].is_set() and backend.left["b"].is_set(), 1.5)

    (span,) = await sink.wait(1)
    assert span.attributes[c.ATTEMPTS] == 2


async def test_a_backend_that_refuses_a_large_body_early_is_heard(scripted: Scripted) -> None:
    ask = ASK | {"messages": [{"role": "user", "content": "x" * 5_000_000}]}
    async with scripted({"fox/a": ["413"]}) as (proxy, _):
        reply = await proxy.post(ask)

    assert reply.status_code == 413
