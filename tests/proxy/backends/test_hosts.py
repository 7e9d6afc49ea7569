"""Two hosts: two data directories, one Redis."""

import asyncio
from pathlib import Path

import pytest

from tests.proxy.backends.test_backends import TINY, backend, shown, until_status
from tests.proxy.backends.vllm_server import running_server
from tests.proxy.gateway import config, running_proxy
from tests.proxy.sink import Sink


async def test_another_host_knows_what_was_added_and_drained(redis_url: str, tmp_path: Path, sink: Sink) -> None:
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    first, second = (running_proxy(home, config(), sink.port, redis_url=redis_url) for home in homes)
    async with running_server(pause_s=0.6) as server, first as one, second as two:
        await one.post(backend(server), "/admin/backends")
        await until_status(two, "up")
        running = asyncio.create_task(two.post(TINY))
        await asyncio.sleep(0.1)
        await one.post({}, "/admin/backends/gpu-0/drain")
        await until_status(two, "drained")
        answer = await running

        assert (await shown(one))["status"] == "drained"
    assert answer.status_code == 200


async def test_backends_of_the_file_serve_though_redis_is_away(
    tmp_path: Path, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server() as server:
        document = config(backends=[backend(server)], limits={"on_store_failure": "open"})
        async with running_proxy(tmp_path, document, sink.port, redis_url="redis://127.0.0.1:1") as proxy:
            await until_status(proxy, "up")

    assert "Redis is away" in caplog.text
