"""A backend, a sink and a proxy between them, for each test that asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.proxy.backend import Backend, running_backend
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink, running_sink


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with running_backend() as backend:
        yield backend


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


@pytest.fixture
async def proxy(backend: Backend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port) as proxy:
        yield proxy
