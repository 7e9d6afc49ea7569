"""Where answers are kept: SQLite in the test's folder, or one Redis for the module."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.proxy.backend import until


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL) as server:
        asyncio.run(until(lambda: accepts(port)))
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that choose the store, which is empty."""
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("redis_url")
    with Redis.from_url(url) as redis:
        redis.flushdb()
    return {"redis_url": url}
