"""Both stores of backends, for tests that must pass on each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from spanwell_proxy.backends.redis import RedisBackends
from spanwell_proxy.backends.sqlite import SqliteBackends
from spanwell_proxy.backends.store import BackendStore
from tests.proxy.redis import running_redis


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


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BackendStore]:
    is_redis = request.param == "redis"
    store: BackendStore = (
        RedisBackends(request.getfixturevalue("redis_url")) if is_redis else SqliteBackends(tmp_path / "state.db")
    )
    yield store
    await store.close()
