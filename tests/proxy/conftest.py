"""A backend, a sink and a proxy between them, for each test that asks."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.proxy.backend import Backend, running_backend
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.redis import running_redis
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


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    return redis_server
