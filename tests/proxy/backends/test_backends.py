import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spanwell.health import free_port
from tests.proxy.backend import until
from tests.proxy.backends.vllm_server import Server, running_server
from tests.proxy.gateway import ASK, Proxy, config, running_proxy
from tests.proxy.sink import Sink

QUICK = {"every_seconds": 0.1, "timeout_seconds": 0.3}
TINY = ASK | {"model": "tiny"}


def backend(server: Server, name: str = "gpu-0", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": server.url, "health": QUICK} | more


@asynccontextmanager
async def serving(tmp_path: Path, sink: Sink, *backends: dict[str, Any], **sections: Any) -> AsyncIterator[Proxy]:
    async with running_proxy(tmp_path, config(backends=list(backends), **sections), sink.port) as proxy:
        yield proxy


async def shown(proxy: Proxy, name: str = "gpu-0") -> dict[str, Any]:
    listed = (await proxy.get("/admin/backends")).json()["backends"]
    return next((one for one in listed if one["name"] == name), {"status": "unknown"})


async def listed(proxy: Proxy) -> list[str]:
    return [one["id"] for one in (await proxy.get("/v1/models")).json()["data"]]


async def until_status(proxy: Proxy, status: str, name: str = "gpu-0") -> None:
    for _ in range(100):
        if (await shown(proxy, name))["status"] == status:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{name} is not {status}")


async def test_what_a_backend_serves_is_found(tmp_path: Path, sink: Sink) -> None:
    async with (
        running_server(models={"tiny": 1024, "lora": 512}) as server,
        serving(tmp_path, sink, backend(server)) as proxy,
    ):
        models = await listed(proxy)
        answer = await proxy.post(TINY)
        (span,) = await sink.wait(1)

    assert models == ["tiny", "lora"]
    assert (answer.status_code, server.calls) == (200, 1)
    assert span.attributes["gen_ai.provider.name"] == "vllm"
    assert span.attributes["spanwell.deployment"] == "gpu-0/tiny"


async def test_a_name_of_ones_own_is_served_by_several(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as one, running_server() as two:
        named: dict[str, Any] = {"models": {"chat": "tiny"}}
        async with serving(tmp_path, sink, backend(one, **named), backend(two, "gpu-1", **named)) as proxy:
            for _ in range(20):
                assert (await proxy.post(ASK | {"model": "chat"})).status_code == 200

    assert one.calls + two.calls == 20
    assert one.calls
    assert two.calls


async def test_a_backend_that_is_away_is_not_asked_and_comes_back(tmp_path: Path, sink: Sink) -> None:
    port = free_port()
    async with (
        running_server() as kept,
        serving(tmp_path, sink, backend(kept), backend(Server(port=port), "gpu-1", models=["tiny"])) as proxy,
    ):
        statuses = [(await proxy.post(TINY)).status_code for _ in range(5)]
        away = await shown(proxy, "gpu-1")
        async with running_server(port) as back:
            await until_status(proxy, "up", "gpu-1")
            for _ in range(20):
                await proxy.post(TINY)
            assert back.calls > 0
        await until_status(proxy, "away", "gpu-1")

    assert statuses == [200] * 5
    assert away["status"] == "away"
    assert "/health" in away["error"]


async def test_a_backend_that_still_loads_is_not_asked(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as kept, running_server(models={}) as loading:
        named: dict[str, Any] = {"models": ["tiny"]}
        async with serving(tmp_path, sink, backend(kept, **named), backend(loading, "gpu-1", **named)) as proxy:
            for _ in range(8):
                assert (await proxy.post(TINY)).status_code == 200
            state = await shown(proxy, "gpu-1")
            asked_while_loading = loading.calls
            loading.models["tiny"] = 1024
            await until_status(proxy, "up", "gpu-1")

    assert asked_while_loading == 0
    assert (state["status"], state["error"]) == ("away", "it does not serve 'tiny'")


@pytest.mark.parametrize("fault", [{"hangs": True}, {"health": 503}, {"api_key": "another"}])
async def test_a_start_does_not_wait_for_a_sick_backend(tmp_path: Path, sink: Sink, fault: dict[str, Any]) -> None:
    async with running_server(**fault) as server, serving(tmp_path, sink, backend(server, models=["tiny"])) as proxy:
        await until_status(proxy, "away")
        health = (await proxy.get("/health")).json()

    assert health["backends"] == {"away": 1}


async def test_the_key_of_a_backend_goes_to_its_probes_and_is_not_shown(tmp_path: Path, sink: Sink) -> None:
    key: dict[str, Any] = {"api_key": "sk-gpu-canary"}
    async with running_server(**key) as server, serving(tmp_path, sink, backend(server, **key)) as proxy:
        answer = await proxy.post(TINY)
        listed = await proxy.get("/admin/backends")

    assert answer.status_code == 200
    assert "canary" not in listed.text


async def test_load_is_scraped(tmp_path: Path, sink: Sink) -> None:
    load: dict[str, Any] = {"running": 3, "waiting": 2, "cache_use": 0.5}
    async with running_server(**load) as server, serving(tmp_path, sink, backend(server)) as proxy:
        await until_status(proxy, "up")
        state = await shown(proxy)
        metrics = (await proxy.get("/metrics")).text

    assert state["load"] == {"waiting": 2, "running": 3, "cache_use": 0.5}
    assert 'spanwell_backend_waiting_requests{backend="gpu-0"} 2.0' in metrics
    assert 'spanwell_backend_up{backend="gpu-0"} 1.0' in metrics


async def test_a_server_that_does_not_tell_its_load_serves_all_the_same(tmp_path: Path, sink: Sink) -> None:
    async with running_server(metrics=False) as server, serving(tmp_path, sink, backend(server)) as proxy:
        answer, state = await proxy.post(TINY), await shown(proxy)

    assert (answer.status_code, state["status"], state["load"]) == (200, "up", None)


async def test_a_replica_is_added_drained_and_removed_while_calls_run(tmp_path: Path, sink: Sink) -> None:
    async with (
        running_server() as old,
        running_server(pause_s=0.5) as new,
        serving(tmp_path, sink, backend(old)) as proxy,
    ):
        added = await proxy.post(backend(new, "gpu-1"), "/admin/backends")
        await proxy.post({}, "/admin/backends/gpu-0/drain")
        running = asyncio.create_task(proxy.post(TINY))
        await until(lambda: new.calls)
        drained = await proxy.post({}, "/admin/backends/gpu-1/drain")
        removed = await proxy.delete("/admin/backends/gpu-1")
        await proxy.post({}, "/admin/backends/gpu-0/resume")
        answer, after = await running, await proxy.post(TINY)

    assert (added.status_code, added.json()["status"], added.json()["origin"]) == (201, "up", "added")
    assert (drained.json()["status"], drained.json()["running"]) == ("drained", 1)
    assert removed.json() == {"name": "gpu-1", "removed": True}
    assert (answer.status_code, after.status_code, old.calls, new.calls) == (200, 200, 1, 1)


async def test_a_model_whose_backends_are_all_drained_is_not_asked(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as server, serving(tmp_path, sink, backend(server)) as proxy:
        await proxy.post({}, "/admin/backends/gpu-0/drain")
        answer = await proxy.post(TINY)

    assert (answer.status_code, answer.json()["error"]["code"], server.calls) == (503, "no_backend", 0)
    assert answer.headers["retry-after"] == "5"


async def test_what_was_added_and_drained_outlives_a_restart(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as server:
        async with serving(tmp_path, sink) as proxy:
            await proxy.post(backend(server), "/admin/backends")
            await proxy.post({}, "/admin/backends/gpu-0/drain")
        async with serving(tmp_path, sink) as proxy:
            state = await shown(proxy)

    assert (state["status"], state["models"], state["origin"]) == ("drained", ["tiny"], "added")


async def test_models_are_known_though_a_backend_is_away_at_the_start(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as server, serving(tmp_path, sink, backend(server)):
        pass
    async with serving(tmp_path, sink, backend(server)) as proxy:
        answer = await proxy.post(TINY)

    assert answer.status_code in (502, 503)  # and not 404: the model exists


async def test_all_workers_see_a_change(tmp_path: Path, sink: Sink) -> None:
    document = config(backends=[])
    first, second = (running_proxy(tmp_path, document, sink.port, worker=number) for number in (0, 1))
    async with running_server() as server, first as one, second as two:
        await one.post(backend(server), "/admin/backends")
        await until_status(two, "up")
        answer = await two.post(TINY)
        await two.post({}, "/admin/backends/gpu-0/drain")
        await until_status(one, "drained")

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("document", "status", "told"),
    [
        ({"url": "ftp://gpu"}, 400, "backend.url"),
        ({"url": "http://gpu:1", "modles": []}, 400, "backend.modles: not known; allowed are name, url"),
        ({"name": "gpu-0", "url": "http://gpu:1"}, 409, "there is a backend 'gpu-0'"),
        ({"name": "../x", "url": "http://gpu:1"}, 400, "backend.name"),
    ],
)
async def test_what_cannot_be_added_is_told(
    tmp_path: Path, sink: Sink, document: dict[str, Any], status: int, told: str
) -> None:
    async with running_server() as server, serving(tmp_path, sink, backend(server)) as proxy:
        answer = await proxy.post(document, "/admin/backends")

    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


async def test_who_waits_for_a_backend_that_is_taken_out_is_answered(tmp_path: Path, sink: Sink) -> None:
    slow = {"every_seconds": 1, "timeout_seconds": 30}
    async with running_server(hangs=True) as server, serving(tmp_path, sink) as proxy:
        adding = asyncio.create_task(proxy.post(backend(server, health=slow), "/admin/backends", timeout_s=5))
        await until_status(proxy, "away")
        await proxy.delete("/admin/backends/gpu-0")
        answer = await adding

    assert answer.status_code == 201


async def test_a_backend_of_the_file_is_not_removed(tmp_path: Path, sink: Sink) -> None:
    async with running_server() as server, serving(tmp_path, sink, backend(server)) as proxy:
        refused = await proxy.delete("/admin/backends/gpu-0")
        unknown = await proxy.post({}, "/admin/backends/nobody/drain")
        stranger = await proxy.get("/admin/backends", "sk-nobody")

    assert (refused.status_code, unknown.status_code) == (409, 404)
    assert stranger.status_code in (401, 403)


async def test_hostile_words_of_a_backend_are_left_out(tmp_path: Path, sink: Sink) -> None:
    served = {"tiny": 1024, "*": 1, "a\nb": 1, "x" * 300: 1}
    async with running_server(models=served) as server, serving(tmp_path, sink, backend(server)) as proxy:
        models = await listed(proxy)

    assert models == ["tiny"]
