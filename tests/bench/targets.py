"""What is measured: the backend alone, Spanwell's proxy with its collector, LiteLLM's proxy. One core for each.

The other core carries the backend, the load and the collector.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from spanwell.health import free_port
from tests.bench.processes import running, wait_for

MODEL = "gpt-4o-mini"
KEY = "sk-" + secrets.token_hex(24)
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
    """Something to call. `pid` is the server that is measured; the last two are for Spanwell alone."""

    name: str
    url: str
    pid: int
    sql_url: str = ""
    collector_pid: int = 0


@contextmanager
def backend(folder: Path) -> Iterator[Target]:
    """The backend by itself: what every proxy is compared with."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", "--port", str(port)]
    with running(command, LOAD_CORE, folder / "backend.log") as server:
        wait_for(f"http://127.0.0.1:{port}/v1/models", server)
        yield Target("direct", f"http://127.0.0.1:{port}", server.pid)


@contextmanager
def spanwell(folder: Path, backend_url: str) -> Iterator[Target]:
    """Proxy and collector as `spanwell up` starts them, the cache off: every call reaches the backend."""
    config = folder / "spanwell.yaml"
    config.write_text(yaml.safe_dump({**litellm_config(backend_url), "cache": {"enabled": False}}), encoding="utf-8")
    proxy_port, collector_port, sql_port = free_port(), free_port(), free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")},
        "SPANWELL_DATA": str(folder / "data"),
        "SPANWELL_CONFIG": str(config),
        "SPANWELL_PROXY_PORT": str(proxy_port),
        "SPANWELL_COLLECTOR_PORT": str(collector_port),
        "SPANWELL_SQL_PORT": str(sql_port),
        "SPANWELL_GRPC_PORT": str(free_port()),
    }
    collector = running([sys.executable, "-m", "spanwell_collector"], LOAD_CORE, folder / "collector.log", environ)
    proxy = running([sys.executable, "-m", "spanwell_proxy"], PROXY_CORE, folder / "proxy.log", environ)
    with collector as collecting, proxy as proxying:
        wait_for(f"http://127.0.0.1:{collector_port}/health", collecting)
        wait_for(f"http://127.0.0.1:{proxy_port}/health", proxying)
        yield Target(
            name="Spanwell",
            url=f"http://127.0.0.1:{proxy_port}",
            pid=proxying.pid,
            sql_url=f"http://127.0.0.1:{sql_port}",
            collector_pid=collecting.pid,
        )


@contextmanager
def litellm(folder: Path, backend_url: str, program: Path) -> Iterator[Target]:
    """LiteLLM's proxy from its own environment, as its documents advise for production, without a database."""
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(litellm_config(backend_url)), encoding="utf-8")
    port = free_port()
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(command, PROXY_CORE, folder / "litellm.log", LITELLM_ENVIRON) as server:
        wait_for(f"http://127.0.0.1:{port}/health/liveliness", server)
        yield Target("LiteLLM proxy", f"http://127.0.0.1:{port}", server.pid)


def litellm_config(backend_url: str) -> dict[str, object]:
    """The file both proxies read: one model, one key."""
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{backend_url}/v1", "api_key": "sk-backend"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": KEY},
    }
