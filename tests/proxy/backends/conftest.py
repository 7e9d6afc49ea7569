"""Both stores of backends, for tests that must pass on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spanwell_proxy.backends.redis import RedisBackends
from spanwell_proxy.backends.sqlite import SqliteBackends
from spanwell_proxy.backends.store import BackendStore


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BackendStore]:
    is_redis = request.param == "redis"
    store: BackendStore = (
        RedisBackends(request.getfixturevalue("redis_url")) if is_redis else SqliteBackends(tmp_path / "state.db")
    )
    yield store
    await store.close()
