"""Experiments as clients and operators meet them: arms, shadows, decisions, the gateway's own rollback."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.proxy.backend import Backend, running_backend, until
from tests.proxy.gateway import ASK, Proxy, config, deployment, running_proxy
from tests.proxy.redis import running_redis
from tests.proxy.sink import Sink

ARMS = {"old": {"weight": 1}, "new": {"weight": 1, "model": "owl", "params": {"temperature": 0}}}


@asynccontextmanager
async def experimenting(
    data: Path, sink: Sink, fox: Backend, owl: Backend, trial: dict[str, Any], *, cache: Any = None, **settings: Any
) -> AsyncIterator[Proxy]:
    models = deployment(fox.url), deployment(owl.url, "owl")
    document = config(*models, routing={"experiments": {"trial": {"model": "fox", "control": "old", **trial}}})
    document |= {} if cache is None else {"cache": cache}
    async with running_proxy(data, document, sink.port, **settings) as proxy:
        yield proxy


async def decide(proxy: Proxy, what: str, body: Any = None) -> httpx.Response:
    return await proxy.post(body or {}, f"/admin/experiments/trial/{what}")


async def ask_as(proxy: Proxy, *users: str) -> list[httpx.Response]:
    return [await proxy.post(x_spanwell_user=user) for user in users]


async def test_a_user_keeps_the_arm_and_its_span_says_which(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, {"arms": ARMS}) as proxy:
        await ask_as(proxy, *(f"user {number % 8}" for number in range(16)))
        spans = [span.attributes for span in await calls(sink, 16)]

    arms = {(span["user.id"], span["spanwell.experiment.arm"], span["spanwell.deployment"]) for span in spans}
    assert len(arms) == 8
    assert {arm for _, arm, _ in arms} == {"old", "new"}
    assert {span["spanwell.route.probability"] for span in spans} == {0.5}
    assert {request.get("temperature") for request in owl.requests} == {0}
    assert {span["gen_ai.request.model"] for span in spans} == {"fox"}


async def calls(sink: Sink, count: int) -> list[Any]:
    """The spans of calls, without those of their attempts."""
    await until(lambda: len([one for one in sink.spans if one.name.startswith("chat")]) >= count)
    return [one for one in sink.spans if one.name.startswith("chat")]


async def test_one_call_promotes_pins_and_rolls_back(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, {"arms": ARMS}) as proxy:
        promoted = await decide(proxy, "promote")
        await ask_as(proxy, *map(str, range(8)))
        after_promotion = len(owl.requests)
        rolled = await decide(proxy, "rollback", {"reason": "it lies"})
        await ask_as(proxy, *map(str, range(8)))
        pinned = await decide(proxy, "pin", {"arm": "new"})
        unknown = await decide(proxy, "pin", {"arm": "other"})
        audit = (await proxy.get("/admin/audit")).json()["audit"]

    assert (promoted.json()["status"], promoted.json()["arm"], after_promotion) == ("promoted", "new", 8)
    assert (rolled.json()["status"], rolled.json()["reason"], len(backend.requests)) == ("rolled-back", "it lies", 8)
    assert pinned.json()["arm"] == "new"
    assert [(one["action"], one["kind"], one["id"]) for one in audit] == [
        (action, "experiment", "trial") for action in ("pinned", "rolled-back", "promoted")
    ]
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        400,
        "arm: 'other' is none of trial: old, new",
    )


@pytest.mark.parametrize("shared", ["sqlite", "redis"])
async def test_a_decision_outlives_the_worker_and_reaches_the_others(
    shared: str, backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    trial = {"arms": ARMS}
    with running_redis(tmp_path) if shared == "redis" else nullcontext("") as redis_url:
        async with running_backend() as owl:

            def another() -> AbstractAsyncContextManager[Proxy]:
                return experimenting(tmp_path, sink, backend, owl, trial, redis_url=redis_url)

            async with another() as one, another() as two:
                await decide(one, "promote")
                await until_promoted(two, 1.0)
            async with another() as three:
                after = await status(three)

    assert (after["status"], after["arm"]) == ("promoted", "new")


async def until_promoted(proxy: Proxy, timeout_s: float) -> None:
    began = time.monotonic()
    while (await status(proxy))["status"] != "promoted":
        assert time.monotonic() - began < timeout_s


async def status(proxy: Proxy) -> dict[str, Any]:
    shown: dict[str, Any] = (await proxy.get("/admin/experiments/trial")).json()
    return shown


async def test_an_arm_that_fails_is_rolled_back_by_itself(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    trial = {"arms": ARMS, "guardrails": ["errors"]}
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, trial) as proxy:
        owl.moods.extend(["400"] * 1000)
        for number in range(60):
            await proxy.post(x_spanwell_user=f"user {number}")
            if number % 10 == 9:
                await asyncio.sleep(0.5)
                if (await status(proxy))["status"] == "rolled-back":
                    break
        shown = await status(proxy)
        told = await ask_as(proxy, *map(str, range(5)))

    assert (shown["status"], shown["by"], shown["arm"]) == ("rolled-back", "guardrail", "old")
    assert "new is worse in errors by more than 0.01" in shown["reason"]
    assert {one.status_code for one in told} == {200}


async def test_a_shadow_gets_copies_that_nobody_waits_for(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    trial = {"arms": {"old": {}, "copy": {"shadow": 1.0, "model": "owl", "params": {"top_p": 0.5}}}}
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, trial) as proxy:
        owl.moods.append("500")
        answers = await ask_as(proxy, "mia", "mia", "mia")
        spans = await calls(sink, 6)

    assert {one.status_code for one in answers} == {200}
    copies = [span for span in spans if span.attributes.get("spanwell.purpose") == "shadow"]
    asked = {span.span_id for span in spans if span not in copies}
    assert {span.parent_id for span in copies} == asked
    assert {span.attributes["spanwell.shadow_of"] for span in copies} == asked
    assert {span.attributes["spanwell.experiment.arm"] for span in copies} == {"copy"}
    assert {request["top_p"] for request in owl.requests} == {0.5}


async def test_a_shadow_is_asked_anew_stores_nothing_and_does_nothing_twice(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    trial = {"arms": {"old": {}, "copy": {"shadow": 1.0, "model": "owl"}}}
    async with (
        running_backend() as owl,
        experimenting(tmp_path, sink, backend, owl, trial, cache={"enabled": True}) as proxy,
    ):
        for asked in (ASK, ASK, ASK | {"store": True}):
            await proxy.post(asked, x_spanwell_cache="no-cache")
        question = {"model": "fox", "input": "Do foxes sleep?"}
        for more in ({}, {"tools": [{"type": "mcp"}]}, {"previous_response_id": "resp_1"}):
            await proxy.post(question | more, "/v1/responses")
        await until(lambda: len(owl.requests) >= 4)
        await asyncio.sleep(0.1)

    assert [request.get("store") for request in owl.requests] == [None, None, False, False]


async def test_a_slow_shadow_delays_nobody(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    trial = {"arms": {"old": {}, "copy": {"shadow": 1.0, "model": "owl"}}}
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, trial) as proxy:
        owl.pause_s = 30.0
        async with asyncio.timeout(5.0):
            answers = await ask_as(proxy, *map(str, range(40)))
        copied = len(owl.requests)

    assert {one.status_code for one in answers} == {200}
    assert copied <= 32


async def test_a_changed_experiment_begins_anew_while_calls_run(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, {"arms": ARMS}) as proxy:
        await decide(proxy, "promote")
        file = tmp_path / "spanwell.yaml"
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        document["routing"]["experiments"]["trial"]["arms"]["new"]["weight"] = 3
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        reloaded = await proxy.post({}, "/admin/reload")
        shown = await status(proxy)

    assert reloaded.status_code == 200
    assert (shown["status"], [arm["share"] for arm in shown["arms"]]) == ("running", [0.25, 0.75])


async def test_only_the_operator_decides(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as owl, experimenting(tmp_path, sink, backend, owl, {"arms": ARMS}) as proxy:
        key = (await proxy.post({"name": "app"}, "/admin/keys")).json()["key"]
        refused = await Proxy(proxy.url, key).post({}, "/admin/experiments/trial/promote")
        missing = await proxy.post({}, "/admin/experiments/other/promote")

    assert (refused.status_code, missing.status_code) == (403, 404)


async def test_a_request_is_explained(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    levels = [{"up_to": 0.2, "models": ["fox"]}, {"models": ["owl"]}]
    routing = {"routes": {"smart": {"models": ["fox", "owl"], "complexity": {"levels": levels}}}}
    document = config(deployment(backend.url), deployment(backend.url, "owl"), routing=routing)
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        question = {"model": "smart", "messages": [{"role": "user", "content": "Prove why, step by step."}]}
        why = (await proxy.post({"request": question}, "/admin/routes/explain")).json()
        answer = await proxy.post(question)
        listed = (await proxy.get("/admin/routes")).json()["routes"]
        names = [one["id"] for one in (await proxy.get("/v1/models")).json()["data"]]

    assert why["complexity"]["score"] > 0.2
    assert {one["id"]: one["probability"] for one in why["deployments"]} == {"fox-0": 0.0, "owl-0": 1.0}
    assert answer.status_code == 200
    assert [route["model"] for route in listed] == ["fox", "owl", "smart"]
    assert names == ["fox", "owl", "smart"]
    assert ASK["model"] == "fox"


@pytest.mark.parametrize("value", [b"123456789012345678901234567890", rb'"\ud800"'])
async def test_what_no_call_could_be_is_not_explained(proxy: Proxy, value: bytes) -> None:
    body = b'{"request": {"model": "fox", "user": %s}}' % value

    refused = await proxy.post(body, "/admin/routes/explain", content_type="application/json")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "request")
