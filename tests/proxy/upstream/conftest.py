"""A gateway before backends that follow a script."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.proxy.api_faults import FAULTS
from tests.proxy.bad_backend import BadBackend, running_bad_backend
from tests.proxy.gateway import MASTER_KEY, PLAIN, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

Scripted = Callable[..., AbstractAsyncContextManager[tuple[Proxy, BadBackend]]]


@pytest.fixture
def scripted(tmp_path: Path, sink: Sink) -> Scripted:
    """`scripted({"fox/a": ["500", "well"]}, **sections)`: deployment a of the model fox fails once."""

    @asynccontextmanager
    async def run(
        scripts: dict[str, list[str]], params: dict[str, Any] | None = None, **sections: Any
    ) -> AsyncIterator[tuple[Proxy, BadBackend]]:
        async with running_bad_backend() as backend:
            deployments = []
            for name, script in scripts.items():
                assert FAULTS.keys() >= set(script)
                model, _, case = name.partition("/")
                backend.scripts[case] = script
                # Its own port: what a backend closes is never taken for a connection that idled too long.
                url = f"{await backend.open_door()}/{case}/v1"
                deployments.append(deployment(url, model, **(params or {})) | {"model_info": {"id": case}})
            async with running_proxy(tmp_path, config(*deployments, **sections), sink.port) as proxy:
                yield proxy, backend

    return run


async def leave(proxy: Proxy, ask: Mapping[str, Any], after_s: float) -> None:
    """Ask, and be gone before the answer is whole."""
    async with httpx.AsyncClient(verify=PLAIN, timeout=after_s) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                f"{proxy.url}/v1/chat/completions", json=ask, headers={"authorization": f"Bearer {MASTER_KEY}"}
            )
