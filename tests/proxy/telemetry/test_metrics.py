import asyncio
import shutil
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spanwell_proxy.telemetry import metrics
from tests.proxy.backend import Backend, until
from tests.proxy.gateway import ASK, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

NAMES = {
    *("llm_requests_total", "llm_latency_seconds_bucket", "llm_ttft_seconds_bucket", "llm_tokens_total"),
    *("llm_inter_token_latency_seconds_bucket", "llm_estimated_cost_dollars_total", "llm_cache_hit_rate"),
    *("llm_breaker_state", "llm_queue_depth", "llm_in_flight", "llm_attempts_total"),
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "spanwell_telemetry_dropped_spans_total"),
}

Samples = dict[str, float]


async def read(proxy: Proxy) -> Samples:
    """Every sample by its name and its labels as the page writes them."""
    page = (await proxy.get("/metrics")).text
    samples = (one for family in text_string_to_metric_families(page) for one in family.samples)
    return {
        one.name + "".join(sorted(f" {key}={value}" for key, value in one.labels.items())): one.value for one in samples
    }


async def grown(proxy: Proxy, before: Samples, name: str) -> float:
    """How much it grew; what other tests have counted in this process stays out."""
    return (await read(proxy)).get(name, 0.0) - before.get(name, 0.0)


async def test_what_was_answered_is_counted(proxy: Proxy, sink: Sink) -> None:
    before = await read(proxy)

    await proxy.post()
    await proxy.post()
    await proxy.post(ASK | {"stream": True})

    await sink.wait(3)
    assert await grown(proxy, before, "llm_requests_total model=fox status=200") == 3
    assert await grown(proxy, before, "llm_latency_seconds_count model=fox") == 3
    assert await grown(proxy, before, "llm_ttft_seconds_count model=fox") == 1
    assert await grown(proxy, before, "llm_inter_token_latency_seconds_count model=fox") > 0
    assert await grown(proxy, before, "llm_tokens_total model=fox type=input") == 126
    assert await grown(proxy, before, "llm_tokens_total model=fox type=cached") == 48
    assert await grown(proxy, before, "llm_estimated_cost_dollars_total model=fox") == pytest.approx(3 * 0.0000676)


async def test_a_client_cannot_make_labels(proxy: Proxy, sink: Sink) -> None:
    await proxy.post(ASK | {"model": "heron"})
    await proxy.post(ASK | {"user": "ibis", "metadata": {"tags": ["egret"]}})

    await sink.wait(2)
    page = (await proxy.get("/metrics")).text
    assert not [name for name in ("heron", "ibis", "egret") if name in page]


async def test_attempts_are_counted_by_how_they_ended(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    before = await read(proxy)
    backend.moods.extend(["500", "well"])

    await proxy.post()

    await sink.wait(1)
    outcomes = ("ok", "upstream_500")
    grew = [await grown(proxy, before, f"llm_attempts_total deployment=fox-0 outcome={one}") for one in outcomes]
    assert grew == [1, 1]


async def test_an_open_breaker_shows(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url, model_info={"id": "shaky"}))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        backend.moods.extend(["500"] * 6)
        for _ in range(3):
            await proxy.post()

        await until(lambda: metrics.BREAKER.labels("fox-0")._value.get() == 2)

        assert (await read(proxy))["llm_breaker_state deployment=fox-0"] == 2


async def test_the_hit_rate_is_of_all_lookups(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url, "cached-fox"), cache={"enabled": True})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        for _ in range(4):
            await proxy.post(ASK | {"model": "cached-fox"})
        await sink.wait(4)

        assert (await read(proxy))["llm_cache_hit_rate model=cached-fox"] == 0.75


async def test_what_a_budget_allows_shows(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port) as proxy:
        made = (await proxy.post({"budgets": [{"usd": 2, "period": "day"}]}, "/admin/keys")).json()
        await Proxy(proxy.url, made["key"]).post()
        name = f"llm_budget_left_dollars owner={made['id']} period=day scope=key"

        await until(lambda: name.split(" ")[1][6:] in str(metrics.BUDGET_LEFT._metrics))

        assert 1.9 < (await read(proxy))[name] < 2


async def test_every_promised_name_is_there(proxy: Proxy, sink: Sink) -> None:
    await proxy.post(ASK | {"stream": True})
    await sink.wait(1)

    page = (await proxy.get("/metrics")).text

    assert not [name for name in NAMES if f"\n{name}" not in page]


@pytest.fixture
def promtool() -> str:
    program = shutil.which("promtool")
    assert program, "`make test-tools` installs it"
    return program


async def test_promtool_has_nothing_to_say(proxy: Proxy, sink: Sink, promtool: str) -> None:
    await proxy.post(ASK | {"stream": True})
    await sink.wait(1)
    page = (await proxy.get("/metrics")).content

    check = ["check", "metrics"]
    checked = await asyncio.create_subprocess_exec(promtool, *check, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    told, _ = await checked.communicate(page)

    assert (checked.returncode, told) == (0, b"")
