"""The proxy under test, served in the test's own loop; and the configuration most tests use."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import yaml
from openai import AsyncOpenAI

from spanwell.settings import Settings
from spanwell_proxy.plan import read_plan
from spanwell_proxy.serving.app import create_app
from spanwell_proxy.serving.protocol import Protocol
from tests.proxy.backend import SECRET, until

MASTER_KEY = "sk-master-canary-fedcba9876543210"
ASK = {"model": "fox", "messages": [{"role": "user", "content": "Do foxes sleep?"}]}
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 1e-7}
# 26 tokens at the full rate, 16 cached ones, 20 of output
COST_USD = "0.0000676"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # of no use here, and a client would take 30 ms to load its own


@dataclass
class Proxy:
    """One running proxy."""

    url: str
    key: str = MASTER_KEY

    def client(self, key: str = "", **options: Any) -> AsyncOpenAI:
        given: dict[str, Any] = {"max_retries": 0, "timeout": 10.0, "http_client": httpx.AsyncClient(verify=PLAIN)}
        return AsyncOpenAI(base_url=self.url + "/v1", api_key=key or self.key, **given | options)

    async def post(
        self, body: Any = None, path: str = "/v1/chat/completions", *, timeout_s: float = 60.0, **headers: str
    ) -> httpx.Response:
        """A request with any body and headers; underscores in header names become dashes."""
        given = {"authorization": f"Bearer {self.key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with httpx.AsyncClient(timeout=timeout_s, verify=PLAIN) as client:
            content = {"content": body} if isinstance(body, bytes) else {"json": ASK if body is None else body}
            return await client.post(self.url + path, headers=given, **content)

    async def get(self, path: str, key: str = "") -> httpx.Response:
        async with httpx.AsyncClient(timeout=60.0, verify=PLAIN) as client:
            return await client.get(self.url + path, headers={"authorization": f"Bearer {key or self.key}"})

    async def delete(self, path: str, key: str = "") -> httpx.Response:
        async with httpx.AsyncClient(timeout=60.0, verify=PLAIN) as client:
            return await client.delete(self.url + path, headers={"authorization": f"Bearer {key or self.key}"})


def deployment(url: str, name: str = "fox", **params: Any) -> dict[str, Any]:
    given = {"model": "hosted_vllm/tiny", "api_base": url, "api_key": SECRET, **PRICES}
    return {"model_name": name, "litellm_params": given | params}


def config(*deployments: dict[str, Any], **sections: Any) -> dict[str, Any]:
    sections.setdefault("general_settings", {"master_key": MASTER_KEY})
    return {"model_list": list(deployments), "router_settings": {"num_retries": 1}} | sections


@asynccontextmanager
async def running_proxy(
    data: Path, document: dict[str, Any], sink_port: int, worker: int = 0, **settings: Any
) -> AsyncIterator[Proxy]:
    file = data / "spanwell.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    plan = read_plan(Settings(data=data, config=file, collector_port=sink_port, **settings))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(plan, worker), http=Protocol, log_config=None, lifespan="on", timeout_graceful_shutdown=1
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started, 10)
        try:
            yield Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            await serving
