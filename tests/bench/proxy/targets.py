"""What is measured: the backend alone, a bare relay, Spanwell, Portkey's open gateway, LiteLLM's proxy.

Each has a core to itself; the other carries the backend, the load and Spanwell's collector.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import yaml

from spanwell.health import free_port
from tests.bench.processes import Server, footprint, running, wait_for
from tests.bench.proxy.table import DIRECT, LITELLM, PORTKEY, RELAY, SPANWELL

MODEL = "gpt-4o-mini"
MASTER_KEY = "sk-" + secrets.token_hex(24)
BUDGETS = [{"usd": 1000, "period": "day"}, {"usd": 10_000, "period": "month"}]
LOAD_CORE, PROXY_CORE = 0, 1
LITELLM_ENVIRON = {
    **os.environ,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "NO_DOCS": "True",
}


@dataclass(frozen=True)
class Target:
    """Something to call. `pid` is the server that is measured, `start_mb` its memory before the first call."""

    name: str
    url: str
    pid: int
    start_mb: float
    key: str = MASTER_KEY
    headers: Mapping[str, str] = field(default_factory=dict)
    sql_url: str = ""  # where its spans are found
    collector_pid: int = 0


@contextmanager
def backend(folder: Path, *, gap_ms: float = 1.0) -> Iterator[Target]:
    """The backend by itself: what every gateway is compared with."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", "--port", str(port), "--gap-ms", str(gap_ms)]
    with running(command, LOAD_CORE, folder / "backend.log") as server:
        yield _started(DIRECT, port, server, "/v1/models")


@contextmanager
def relay(folder: Path, backend_url: str) -> Iterator[Target]:
    """Our server and our client to backends, and nothing between them."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.proxy.relay", "--port", str(port), "--backend", backend_url]
    with running(command, PROXY_CORE, folder / "relay.log") as server:
        yield _started(RELAY, port, server, "")


@contextmanager
def spanwell(folder: Path, backend_url: str) -> Iterator[Target]:
    """Proxy and collector as `spanwell up` starts them, called with a key that has budgets; the cache is on."""
    file = folder / "spanwell.yaml"
    file.write_text(yaml.safe_dump({**litellm_config(backend_url), "cache": {"enabled": True}}), encoding="utf-8")
    proxy_port, collector_port, sql_port = free_port(), free_port(), free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")},
        "SPANWELL_DATA": str(folder / "data"),
        "SPANWELL_CONFIG": str(file),
        "SPANWELL_PROXY_PORT": str(proxy_port),
        "SPANWELL_COLLECTOR_PORT": str(collector_port),
        "SPANWELL_SQL_PORT": str(sql_port),
        "SPANWELL_GRPC_PORT": str(free_port()),
    }
    collect = ["chrt", "--idle", "0", sys.executable, "-m", "spanwell_collector"]
    collector = running(collect, LOAD_CORE, folder / "collector.log", environ)
    proxy = running([sys.executable, "-m", "spanwell_proxy"], PROXY_CORE, folder / "proxy.log", environ)
    with collector as collecting, proxy as proxying:
        wait_for(f"http://127.0.0.1:{collector_port}/health", collecting)
        target = _started(SPANWELL, proxy_port, proxying, "/health")
        yield Target(
            name=target.name,
            url=target.url,
            pid=target.pid,
            start_mb=target.start_mb,
            key=_make_key(target.url),
            sql_url=f"http://127.0.0.1:{sql_port}",
            collector_pid=collecting.pid,
        )


@contextmanager
def portkey(folder: Path, backend_url: str, package: Path) -> Iterator[Target]:
    """Portkey's gateway from its npm package. It has no keys of its own: the backend is named in each call."""
    port = free_port()
    command = ["node", str(package / "build" / "start-server.js"), "--headless", f"--port={port}"]
    with running(command, PROXY_CORE, folder / "portkey.log", {**os.environ, "NODE_ENV": "production"}) as server:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{backend_url}/v1"}
        target = _started(PORTKEY, port, server, "/")
        yield Target(target.name, target.url, target.pid, target.start_mb, headers=headers)


@contextmanager
def litellm(folder: Path, backend_url: str, program: Path) -> Iterator[Target]:
    """LiteLLM's proxy from its own environment, as its documents advise for production, without a database."""
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(litellm_config(backend_url)), encoding="utf-8")
    port = free_port()
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(command, PROXY_CORE, folder / "litellm.log", LITELLM_ENVIRON) as server:
        yield _started(LITELLM, port, server, "/health/liveliness")


def litellm_config(backend_url: str) -> dict[str, object]:
    """The file both proxies read: one model, one key."""
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{backend_url}/v1", "api_key": "sk-backend"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": MASTER_KEY},
    }


def _started(name: str, port: int, server: Server, path: str) -> Target:
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}{path}", server)
    return Target(name, url, server.pid, footprint(server.pid).rss_mb)


def _make_key(url: str) -> str:
    body = json.dumps({"name": "bench", "budgets": BUDGETS}).encode()
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    with urlopen(Request(f"{url}/admin/keys", body, headers), timeout=30) as reply:
        key: str = json.load(reply)["key"]
    return key
