"""A server that looks like vLLM's from outside. It can load, hang, refuse and go away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from spanwell.health import free_port
from tests.proxy.backend import completion

PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="tiny"}} {running}.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="tiny"}} {waiting}.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="tiny",reason="capacity"}} 7.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="tiny"}} {cache_use}
"""


@dataclass
class Server:
    """`models` are the names it serves with their longest context; none while it loads."""

    models: dict[str, int] = field(default_factory=lambda: {"tiny": 1024})
    health: int = 200
    hangs: bool = False
    running: int = 0
    waiting: int = 0
    cache_use: float = 0.0
    pause_s: float = 0.0
    api_key: str = ""
    metrics: bool = True
    calls: int = 0
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.hangs:
            await asyncio.sleep(60)
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        if request.path == "/health":
            return web.Response(status=self.health)
        if request.path == "/metrics" and not self.metrics:
            return web.Response(status=404)
        if request.path == "/metrics":
            text = PAGE.format(running=self.running, waiting=self.waiting, cache_use=self.cache_use)
            return web.Response(text=text)
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [self._card(*one) for one in self.models.items()]})
        return await self._chat(await request.json())

    async def _chat(self, body: dict[str, Any]) -> web.Response:
        self.calls += 1
        await asyncio.sleep(self.pause_s)
        return web.json_response(completion(body))

    def _card(self, name: str, longest: int) -> dict[str, Any]:
        return {"id": name, "object": "model", "owned_by": "vllm", "root": name, "max_model_len": longest}


@asynccontextmanager
async def running_server(port: int = 0, **given: Any) -> AsyncIterator[Server]:
    """On `port`, so that it may come back where it was."""
    server, app = Server(**given, port=port or free_port()), web.Application()
    for path in ("/health", "/metrics", "/v1/models"):
        app.router.add_get(path, server.answer)
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    try:
        yield server
    finally:
        await runner.cleanup()
