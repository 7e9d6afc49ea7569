"""A proxy that dies at the worst moment: the provider has begun, and nobody has heard so."""

import asyncio
import signal
from collections import deque
from pathlib import Path

import yaml

from spanwell.health import free_port
from spanwell.settings import Settings
from tests.proxy.batches.conftest import line
from tests.proxy.batches.handed import document, finish, start
from tests.proxy.batches.provider import running_provider
from tests.proxy.gateway import Proxy
from tests.proxy.sink import Sink
from tests.services import Service
from tests.services import start as start_service


async def run_proxy(settings: Settings) -> Service:
    url = f"http://127.0.0.1:{settings.proxy_port}/health"
    return await asyncio.to_thread(start_service, "spanwell_proxy", settings, url)


async def test_a_batch_that_was_begun_unheard_is_found_again(sink: Sink, tmp_path: Path) -> None:
    file, port = tmp_path / "spanwell.yaml", free_port()
    settings = Settings(data=tmp_path / "data", config=file, collector_port=sink.port, proxy_port=port)
    proxy = Proxy(f"http://127.0.0.1:{port}")
    async with running_provider() as provider:
        provider.moods["POST /batches"] = deque(["hang"])
        file.write_text(yaml.safe_dump(document(provider)), encoding="utf-8")
        service = await run_proxy(settings)
        try:
            batch_id = await start(proxy, line("a"), line("b"))
            await asyncio.wait_for(provider.hanging.wait(), 20)
            await asyncio.to_thread(service.stop, signal.SIGKILL)
            service = await run_proxy(settings)
            batch = await finish(proxy, batch_id, 30)
        finally:
            await asyncio.to_thread(service.stop)

    assert (batch.status, batch.request_counts.completed) == ("completed", 2)
    assert (len(provider.uploads), len(provider.batches), provider.files, provider.calls) == (1, 1, {}, [])
    assert len(await sink.wait(2)) == 2
