"""An echo behind a proxy with the guards that a test asks for."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.guards.echo import Echo, running_echo
from tests.proxy.sink import Sink

OpenProxy = Callable[..., AbstractAsyncContextManager[Proxy]]


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with running_echo() as echo:
        yield echo


@pytest.fixture
def guarded(echo: Echo, sink: Sink, tmp_path: Path) -> OpenProxy:
    def open_proxy(*guards: dict[str, Any], **sections: Any) -> AbstractAsyncContextManager[Proxy]:
        models = [deployment(echo.url, "fox"), deployment(echo.url, "judge")]
        return running_proxy(tmp_path, config(*models, guards=list(guards), **sections), sink.port)

    return open_proxy
