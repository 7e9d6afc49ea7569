"""Limits of the file, changed while calls run."""

from pathlib import Path

import yaml

from tests.proxy.access.test_keys import make
from tests.proxy.backend import Backend
from tests.proxy.gateway import ASK, config, deployment, running_proxy
from tests.proxy.sink import Sink


async def test_another_configurations_limits_hold_at_once(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        made = await make(proxy)
        before = [(await proxy.post(ASK, authorization=f"Bearer {made['key']}")).status_code for _ in range(2)]
        limited = document | {"limits": {"keys": {"rpm": 1}}}
        (tmp_path / "spanwell.yaml").write_text(yaml.safe_dump(limited), encoding="utf-8")
        reload = await proxy.post({}, "/admin/reload")
        after = [(await proxy.post(ASK, authorization=f"Bearer {made['key']}")).status_code for _ in range(2)]

    assert reload.status_code == 200, reload.text
    assert (before, after) == ([200, 200], [200, 429])
