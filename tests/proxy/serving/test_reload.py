import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import yaml

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.gateway import group_deployments
from spanwell_proxy.routing.facts import Facts
from spanwell_proxy.serving.current import forget_facts
from tests.proxy.backend import Backend, until
from tests.proxy.gateway import ASK, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

BAD: dict[str, Any] = {"model_list": [{"model_name": "fox", "litellm_params": {"model": "hosted_vllm/x"}}]}


def write(data: Path, document: Any) -> None:
    (data / "spanwell.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


async def until_known(proxy: Proxy, model: str) -> None:
    for _ in range(100):
        if (await proxy.post(ASK | {"model": model})).status_code != 404:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{model} is not known")


async def health(proxy: Proxy) -> dict[str, Any]:
    told: dict[str, Any] = (await proxy.get("/health")).json()["configuration"]
    return told


async def test_a_changed_file_counts_and_a_running_call_keeps_what_it_began_with(
    proxy: Proxy, backend: Backend, tmp_path: Path
) -> None:
    backend.pause_s = 1.5
    running = asyncio.create_task(proxy.post())
    await until(lambda: backend.requests)
    backend.pause_s = 0

    write(tmp_path, config(deployment(backend.url, "owl")))
    await until_known(proxy, "owl")
    gone, answer = await proxy.post(), await running

    assert (answer.status_code, gone.status_code) == (200, 404)


async def test_a_wrong_file_changes_nothing_and_says_why(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    write(tmp_path, BAD)
    refused = await proxy.post({}, "/admin/reload")
    told, metrics, answer = await health(proxy), (await proxy.get("/metrics")).text, await proxy.post()

    write(tmp_path, config(deployment(backend.url)))
    mended = await proxy.post({}, "/admin/reload")

    assert (refused.status_code, mended.status_code, answer.status_code) == (400, 200, 200)
    assert "model_list[0].litellm_params.api_base" in refused.json()["error"]["message"]
    assert "api_base" in told["error"]
    assert "\nspanwell_config_refused 1.0" in metrics
    assert (await health(proxy))["error"] == ""


async def test_a_half_written_file_is_waited_for(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    text = yaml.safe_dump(config(deployment(backend.url), deployment(backend.url, "owl")))
    file = tmp_path / "spanwell.yaml"
    with file.open("w", encoding="utf-8") as written:
        for part in (text[:40], text[40:]):
            written.write(part)
            written.flush()
            await asyncio.sleep(0.3)

    await until_known(proxy, "owl")

    assert (await health(proxy))["error"] == ""


async def test_an_included_file_counts_too(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(yaml.safe_dump({"model_list": [deployment(backend.url)]}), encoding="utf-8")
    document = {"include": ["models.yaml"]} | config()
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        assert (await proxy.post()).status_code == 200

        models.write_text(yaml.safe_dump({"model_list": [deployment(backend.url, "owl")]}), encoding="utf-8")
        await until_known(proxy, "owl")


def test_what_is_known_of_a_deployment_survives_and_of_others_is_forgotten() -> None:
    facts: dict[str, Facts] = {}
    (before, _), (after,) = (
        group_deployments(read_routes(Config(model_list=models), PriceTable()), facts)("fox")
        for models in ([deployment("http://a/v1"), deployment("http://b/v1")], [deployment("http://a/v1")])
    )

    forget_facts(facts, read_routes(Config(model_list=[deployment("http://a/v1")]), PriceTable()))

    assert before.facts is after.facts
    assert list(facts) == ["fox-0"]


async def test_sighup_reads_it_again(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "spanwell.yaml"
    stamp = file.stat()
    write(tmp_path, config(deployment(backend.url, "cat")))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    signal.raise_signal(signal.SIGHUP)

    await until_known(proxy, "cat")


async def test_one_worker_asks_all(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url))
    first, second = (running_proxy(tmp_path, document, sink.port, worker=number) for number in (0, 1))
    async with first as one, second as two:
        write(tmp_path, config(deployment(backend.url, "owl"), cache={"enabled": True}))
        answer = (await one.post({}, "/admin/reload")).json()
        await until_known(two, "owl")

    assert answer["models"] == ["owl"]
    assert answer["needs_restart"] == ["cache"]


async def test_a_master_key_that_is_changed_is_changed_at_once(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    settings = {"master_key": "sk-another-0123456789"}
    write(tmp_path, config(deployment(backend.url), general_settings=settings))
    await proxy.post({}, "/admin/reload")

    old, new = await proxy.get("/admin/backends"), await proxy.get("/admin/backends", settings["master_key"])

    assert (old.status_code, new.status_code) == (403, 200)


async def test_what_was_written_while_it_was_read_is_read_next(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("[]", encoding="utf-8")
    document = {"prices": "prices.yaml"} | config(deployment(backend.url))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        prices.unlink()
        os.mkfifo(prices)  # who reads it waits
        asking = asyncio.create_task(proxy.post({}, "/admin/reload"))
        pipe = await asyncio.to_thread(os.open, prices, os.O_WRONLY)
        write(tmp_path, config(deployment(backend.url, "owl")))
        os.write(pipe, b"[]")
        os.close(pipe)
        await asking

        await until_known(proxy, "owl")


async def test_a_gateway_that_is_locked_stays_so(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "spanwell.yaml").write_text("", encoding="utf-8")

    refused, stranger = await proxy.post({}, "/admin/reload"), await proxy.post(authorization="")

    assert (refused.status_code, stranger.status_code) == (400, 401)
    assert "general_settings.master_key" in refused.json()["error"]["message"]


async def test_what_counts_from_the_next_start_is_told(proxy: Proxy, backend: Backend, tmp_path: Path) -> None:
    told = []
    for silent in (True, False):
        write(tmp_path, config(deployment(backend.url), litellm_settings={"turn_off_message_logging": silent}))
        told.append((await proxy.post({}, "/admin/reload")).json()["needs_restart"])

    assert told == [["litellm_settings.turn_off_message_logging"], []]


async def test_only_an_operator_may_ask(proxy: Proxy) -> None:
    answer = await proxy.post({}, "/admin/reload", authorization="Bearer sk-nobody")

    assert answer.status_code in (401, 403)


async def test_no_call_is_dropped_while_it_is_read_again_and_again(
    proxy: Proxy, backend: Backend, tmp_path: Path
) -> None:
    statuses: list[int] = []

    async def ask() -> None:
        statuses.extend([(await proxy.post()).status_code for _ in range(40)])

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for turn in range(10):
        write(tmp_path, config(deployment(backend.url), deployment(backend.url, f"owl-{turn}")))
        await proxy.post({}, "/admin/reload")
    await asyncio.gather(*asking)

    assert statuses == [200] * 160
