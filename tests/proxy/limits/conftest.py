"""Both stores, for tests that must pass on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spanwell_proxy.limits.redis import RedisLimits
from spanwell_proxy.limits.sqlite import SqliteLimits
from spanwell_proxy.limits.store import Store


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    is_redis = request.param == "redis"
    store: Store = (
        RedisLimits(request.getfixturevalue("redis_url")) if is_redis else SqliteLimits(tmp_path / "state.db")
    )
    yield store
    await store.close()
