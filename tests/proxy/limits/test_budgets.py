"""Budgets and rates as clients of a running gateway meet them, on both stores."""

import asyncio
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from spanwell import conventions as c
from spanwell.health import free_port
from tests.proxy.access.test_keys import make
from tests.proxy.backend import Backend
from tests.proxy.gateway import ASK, COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.redis import running_redis
from tests.proxy.sink import Sink

BRIEF = ASK | {"max_tokens": 30}


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that choose the store."""
    return {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}


async def call(proxy: Proxy, made: dict[str, str], body: dict[str, Any] = BRIEF, **headers: Any) -> httpx.Response:
    return await proxy.post(body, authorization=f"Bearer {made['key']}", **headers)


async def spent_usd(proxy: Proxy, made: dict[str, str], window: str = "total") -> Decimal:
    reply = await proxy.get(f"/admin/keys/{made['id']}/spend")
    return Decimal(reply.json()["spent_usd"][window])


async def test_two_workers_never_overspend_and_refuse_nobody_falsely(
    backend: Backend, sink: Sink, tmp_path: Path, where: dict[str, Any]
) -> None:
    document = config(deployment(backend.url))
    backend.pause_s = 0.02
    budget = Decimal("0.001")  # fourteen calls and a rest that none fits into
    async with (
        running_proxy(tmp_path, document, sink.port, **where) as one,
        running_proxy(tmp_path, document, sink.port, worker=1, **where) as other,
    ):
        made = await make(one, budgets=[{"usd": str(budget), "period": "total"}])
        replies = await asyncio.gather(*(call(proxy, made) for proxy in (one, other) for _ in range(100)))
        statuses = [reply.status_code for reply in replies]
        spent = Decimal(statuses.count(200)) * Decimal(COST_USD)
        await asyncio.sleep(0.3)
        told = [await spent_usd(proxy, made) for proxy in (one, other)]

    assert {200, 429} == set(statuses)
    assert told == [spent, spent]
    assert budget - most_usd() < spent <= budget


def most_usd() -> Decimal:
    """What a call is taken for before it is made."""
    sent = len(httpx.Request("POST", "http://x", json=BRIEF).content)
    return Decimal(sent) * Decimal("1e-6") + 30 * Decimal("2e-6")


async def test_a_used_up_budget_is_told_in_openais_shape(proxy: Proxy, sink: Sink) -> None:
    made = await make(proxy, budgets=[{"usd": "0.0001", "period": "hour"}])

    reply = await call(proxy, made, ASK | {"max_tokens": 1000})

    (span,) = await sink.wait(1)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (429, "budget_exceeded")
    assert "the hourly budget of 0.000100 USD of this key does not cover this call" in error["message"]
    assert "it resets at" in error["message"]
    assert 0 < int(reply.headers["retry-after"]) <= 3600
    assert (span.attributes[c.BUDGET_STATE], span.attributes[c.BUDGET_LEFT_USD]) == ("hard", "0.0001")


async def test_a_call_that_is_cancelled_leaves_nothing_reserved(
    proxy: Proxy, sink: Sink, backend: Backend, tmp_path: Path
) -> None:
    made = await make(proxy, budgets=[{"usd": "0.0003", "period": "total"}], concurrency=1)
    backend.moods.append("hang")
    with pytest.raises(httpx.ReadTimeout):
        await proxy.post(BRIEF, authorization=f"Bearer {made['key']}", timeout_s=0.5)
    await sink.wait(1)

    assert (await call(proxy, made)).status_code == 200


async def test_a_rate_counts_requests_of_the_last_minute(
    backend: Backend, sink: Sink, tmp_path: Path, where: dict[str, Any]
) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port, **where) as proxy:
        made = await make(proxy, rpm=2)
        replies = [await call(proxy, made) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
    assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 55 <= int(replies[2].headers["retry-after"]) <= 61


async def test_tokens_of_the_last_minute_are_those_that_were_used(proxy: Proxy) -> None:
    made = await make(proxy, tpm=150)  # a call uses 62

    replies = [await call(proxy, made) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert "this key may use 150 tokens a minute" in replies[2].json()["error"]["message"]


async def test_calls_at_once_are_bounded_over_workers(
    backend: Backend, sink: Sink, tmp_path: Path, where: dict[str, Any]
) -> None:
    document = config(deployment(backend.url))
    backend.pause_s = 1.0
    async with (
        running_proxy(tmp_path, document, sink.port, **where) as one,
        running_proxy(tmp_path, document, sink.port, worker=1, **where) as other,
    ):
        made = await make(one, concurrency=3)
        replies = await asyncio.gather(*(call(proxy, made) for proxy in (one, other) for _ in range(4)))

    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200] * 3 + [429] * 5
    assert "concurrency_exceeded" in {reply.json().get("error", {}).get("code") for reply in replies}


async def test_a_team_is_bounded_over_all_its_keys(proxy: Proxy) -> None:
    await proxy.post({"name": "red", "rpm": 1}, "/admin/teams")
    first, second = await make(proxy, team="red"), await make(proxy, team="red")

    statuses = [(await call(proxy, made)).status_code for made in (first, second)]

    assert statuses == [200, 429]


async def test_a_user_is_bounded_as_the_key_holder_and_as_the_one_the_header_names(proxy: Proxy) -> None:
    await proxy.post({"name": "ada", "rpm": 2}, "/admin/users")
    own, app = await make(proxy, user="ada"), await make(proxy)

    statuses = [
        (await call(proxy, own)).status_code,
        (await call(proxy, app, x_spanwell_user="ada")).status_code,
        (await call(proxy, own, x_spanwell_user="bob")).status_code,
        (await call(proxy, app, x_spanwell_user="bob")).status_code,
    ]

    assert statuses == [200, 200, 429, 200]


async def test_limits_of_the_file_hold_for_whoever_has_none(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    limits = {"keys": {"rpm": 1}, "tags": {"batch": {"rpm": 1}}, "gateway": {"rpm": 4}}
    async with running_proxy(tmp_path, config(deployment(backend.url), limits=limits), sink.port) as proxy:
        plain, own = await make(proxy), await make(proxy, rpm=10)
        statuses = [
            [(await call(proxy, plain)).status_code for _ in range(2)],
            [(await call(proxy, own, x_spanwell_tags="batch")).status_code for _ in range(2)],
            [(await call(proxy, own)).status_code for _ in range(3)],
        ]

    assert statuses == [[200, 429], [200, 429], [200, 200, 429]]


async def test_a_model_is_bounded_over_all_callers(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url), deployment(backend.url, "owl"), limits={"models": {"fox": {"rpm": 1}}})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        statuses = [(await proxy.post(ASK | {"model": name})).status_code for name in ("fox", "owl", "fox")]

    assert statuses == [200, 200, 429]


async def test_spanwells_own_calls_count_for_the_gateway_alone(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    limits = {"users": {"rpm": 1}, "gateway": {"rpm": 3}}
    async with running_proxy(tmp_path, config(deployment(backend.url), limits=limits), sink.port) as proxy:
        own = [
            (await proxy.post(BRIEF, x_spanwell_purpose="judge", x_spanwell_user="ada")).status_code for _ in range(2)
        ]
        users = [(await proxy.post(BRIEF, x_spanwell_user="ada")).status_code for _ in range(2)]

    assert (own, users) == ([200, 200], [200, 429])


async def test_who_may_be_asked_again_needs_room_for_both_answers(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    guard = {"name": "shape", "type": "schema", "schema": {"type": "object"}, "action": "retry"}
    backend.pause_s, short = 0.1, ASK | {"max_tokens": 20}
    budget = Decimal("0.005")
    async with running_proxy(tmp_path, config(deployment(backend.url), guards=[guard]), sink.port) as proxy:
        made = await make(proxy, budgets=[{"usd": str(budget), "period": "total"}])
        statuses = [reply.status_code for reply in await asyncio.gather(*(call(proxy, made, short) for _ in range(60)))]
        await asyncio.sleep(0.3)
        spent = await spent_usd(proxy, made)

    assert {400, 429} == set(statuses)
    assert spent == 2 * statuses.count(400) * Decimal(COST_USD)
    assert spent <= budget


async def test_a_models_own_soft_limit_sends_its_calls_elsewhere(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    budget = {"usd": 1, "period": "day", "soft": 0.00005, "downgrade": "owl"}
    document = config(
        deployment(backend.url), deployment(backend.url, "owl"), limits={"models": {"fox": {"budgets": [budget]}}}
    )
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        for _ in range(2):
            await proxy.post()
            await asyncio.sleep(0.15)

    spans = await sink.wait(2)
    assert [span.attributes[c.BUDGET_STATE] for span in spans] == ["ok", "soft"]


async def test_a_downgrade_leads_to_no_model_that_the_key_may_not_use(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    document = config(deployment(backend.url), deployment(backend.url, "owl", model="hosted_vllm/large"))
    budget = {"usd": "1", "period": "day", "soft": 0.00005, "downgrade": "owl"}
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        made = await make(proxy, models=["fox"], budgets=[budget])
        for _ in range(2):
            await call(proxy, made)
            await asyncio.sleep(0.15)

    assert [request["model"] for request in backend.requests] == ["tiny", "tiny"]


async def test_beyond_a_soft_limit_another_model_answers(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url), deployment(backend.url, "owl", model="hosted_vllm/small"))
    async with running_proxy(tmp_path, document | {"limits": {"downgrade": {"fox": "owl"}}}, sink.port) as proxy:
        made = await make(proxy, budgets=[{"usd": "1", "period": "day", "soft": 0.00005}])
        for _ in range(2):
            await call(proxy, made)
            await asyncio.sleep(0.15)

    spans = await sink.wait(2)
    assert [request["model"] for request in backend.requests] == ["tiny", "small"]
    assert [span.attributes[c.BUDGET_STATE] for span in spans] == ["ok", "soft"]
    assert [span.attributes.get(c.FALLBACK_FROM) for span in spans] == [None, "fox"]


async def test_what_was_spent_outlives_a_restart_and_a_change_of_budgets(
    backend: Backend, sink: Sink, tmp_path: Path, where: dict[str, Any]
) -> None:
    document = config(deployment(backend.url))
    async with running_proxy(tmp_path, document, sink.port, **where) as proxy:
        made = await make(proxy)
        await call(proxy, made)
    async with running_proxy(tmp_path, document, sink.port, **where) as proxy:
        before = await spent_usd(proxy, made, "month")
        await patch(proxy, f"/admin/keys/{made['id']}", {"budgets": [{"usd": "0.0002", "period": "month"}]})
        await asyncio.sleep(0.6)
        refused = await call(proxy, made, ASK | {"max_tokens": 60})

    assert before == Decimal(COST_USD)
    assert (refused.status_code, "monthly budget" in refused.text) == (429, True)


async def patch(proxy: Proxy, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.patch(proxy.url + path, json=body, headers={"authorization": f"Bearer {proxy.key}"})


async def test_calls_outlive_a_redis_that_goes_away_and_comes_back(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    port = free_port()
    document, url = config(deployment(backend.url)), f"redis://127.0.0.1:{port}/0"
    with running_redis(tmp_path, port):
        async with running_proxy(tmp_path, document, sink.port, redis_url=url) as proxy:
            made = await make(proxy, budgets=[{"usd": "1", "period": "day"}])
            await call(proxy, made)
            await asyncio.sleep(0.3)  # a lease for some more calls
            with Redis.from_url(url) as redis, suppress(RedisError):
                redis.shutdown(nosave=True)
            away = [(await call(proxy, made)).status_code for _ in range(12)]
            with running_redis(tmp_path, port):
                await asyncio.sleep(1.0)
                back = await call(proxy, made)

    assert away[0] == 200
    assert away[-1] == 503
    assert set(away) == {200, 503}
    assert back.status_code == 200
