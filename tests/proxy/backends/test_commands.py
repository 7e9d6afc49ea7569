"""`spanwell backends` against a gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from spanwell.cli.main import main
from tests.proxy.backends.test_backends import TINY, serving, until_status
from tests.proxy.backends.vllm_server import running_server
from tests.proxy.gateway import Proxy
from tests.proxy.sink import Sink

Run = Callable[..., Awaitable[int]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    async def run(proxy: Proxy, *words: str) -> int:
        monkeypatch.setenv("SPANWELL_PROXY_PORT", proxy.url.rpartition(":")[2])
        return await asyncio.to_thread(main, ["backends", "--config", str(tmp_path / "spanwell.yaml"), *words])

    return run


async def test_a_server_is_added_drained_resumed_and_removed(
    run: Run, tmp_path: Path, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_server(pause_s=0.5, waiting=2) as server, serving(tmp_path, sink) as proxy:
        codes = [await run(proxy, "add", server.url, "--name", "gpu-1"), await run(proxy, "list")]
        running = asyncio.create_task(proxy.post(TINY))
        await asyncio.sleep(0.1)
        codes.append(await run(proxy, "drain", "gpu-1", "--wait", "5"))
        ended = running.done()
        codes += [await run(proxy, "resume", "gpu-1"), await run(proxy, "remove", "gpu-1")]
        again = await run(proxy, "remove", "gpu-1")
        await running

    told = capsys.readouterr()
    assert (codes, again, ended) == ([0, 0, 0, 0, 0], 1, True)
    assert "added gpu-1: tiny" in told.out
    assert told.out.splitlines()[1].split() == [
        "name",
        "status",
        "models",
        "running",
        "waiting",
        "kv_cache",
        "url",
        "origin",
    ]
    assert "drained gpu-1\nresumed gpu-1\nremoved gpu-1" in told.out
    assert "there is no backend 'gpu-1'" in told.err


async def test_a_drain_that_takes_too_long_is_said(
    run: Run, tmp_path: Path, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_server(pause_s=4) as server, serving(tmp_path, sink) as proxy:
        await run(proxy, "add", server.url, "--name", "gpu-1")
        await until_status(proxy, "up", "gpu-1")
        running = asyncio.create_task(proxy.post(TINY))
        await asyncio.sleep(0.1)
        code = await run(proxy, "drain", "gpu-1", "--wait", "0")
        running.cancel()

    assert code == 1
    assert "1 calls still run at gpu-1; it gets no new ones" in capsys.readouterr().err
