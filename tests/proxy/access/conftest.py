"""Both stores of keys, for tests that must pass on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spanwell_proxy.access.records import Records, SqliteRecords
from spanwell_proxy.access.redis import RedisRecords


@pytest.fixture(params=["sqlite", "redis"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    is_redis = request.param == "redis"
    records: Records = (
        RedisRecords(request.getfixturevalue("redis_url")) if is_redis else SqliteRecords(tmp_path / "state.db")
    )
    yield records
    await records.close()
