"""A backend that answers as vLLM 0.32 does, and misbehaves on demand."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.proxy.shapes import STREAMED, WHOLE, completion_chunks, to_sse
from tests.proxy.shapes import USAGE as USAGE
from tests.proxy.shapes import WORDS as WORDS

SECRET = "sk-backend-canary-0123456789abcdef"


@dataclass
class Backend:
    """`moods` holds what the next requests meet, one each; when it is empty all goes well."""

    moods: deque[str] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)  # responses by id
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = 0.0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        mood = self.moods.popleft() if self.moods else "well"
        try:
            return await self._answer(request, body, mood)
        except (ConnectionResetError, asyncio.CancelledError):
            self.aborted.set()
            raise

    async def _answer(self, request: web.Request, body: dict[str, Any], mood: str) -> web.StreamResponse:
        if mood in STATUSES:
            status, error, headers = STATUSES[mood]
            return web.json_response(error, status=status, headers=headers)
        if mood == "hang":
            await asyncio.sleep(60)
        if mood == "drop":
            assert request.transport is not None
            request.transport.abort()
        if mood in ODDITIES:
            return web.Response(text=ODDITIES[mood], content_type="application/json")
        await asyncio.sleep(self.pause_s)
        if body.get("stream"):
            return await self._stream(request, body, mood)
        whole = WHOLE.get(request.path, completion)(body)
        if request.path == "/v1/responses":
            whole["id"] = f"resp_{self.port}_{len(self.kept)}"
            self.kept[whole["id"]] = whole
        return web.json_response(whole)

    async def look(self, request: web.Request) -> web.StreamResponse:
        """A response that was kept: get, delete, cancel it, or list what it was made of."""
        self.paths.append(f"{request.method} {request.path_qs}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        kept = self.kept.get(request.match_info["id"])
        if kept is None:
            return web.json_response(fault("invalid_request_error", "Response not found.", 404), status=404)
        if request.path.endswith("/input_items"):
            return web.json_response({"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False})
        if request.method == "DELETE":
            del self.kept[kept["id"]]
            return web.json_response({"id": kept["id"], "object": "response", "deleted": True})
        return web.json_response(kept | ({"status": "cancelled"} if request.path.endswith("/cancel") else {}))

    async def _stream(self, request: web.Request, body: dict[str, Any], mood: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for at, event in enumerate(events(body, mood, request.path)):
            if at == BREAKS_AT.get(request.path, 2) and mood in ("close early", "garbage", "slow"):
                if mood == "close early":
                    assert request.transport is not None
                    request.transport.abort()
                if mood == "garbage":
                    await response.write(b"data: {broken\n\n")
                if mood == "slow":
                    await asyncio.sleep(30)
            await response.write(event.rstrip() if mood == "no last line" and b"DONE" in event else event)
            await asyncio.sleep(self.pause_s)
        if mood == "drop at the end":
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response


def fault(kind: str, message: str, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


BREAKS_AT = {"/v1/responses": 5, "/v1/messages": 4}  # the event before which a stream goes wrong: some was said
ODDITIES = {
    "not json": "<html>oops</html>",
    "odd choice": '{"choices": ["x"]}',
    "odd message": '{"choices": [{"message": "x", "finish_reason": "stop"}]}',
    "odd tool call": '{"choices": [{"message": {"tool_calls": ["x"]}, "finish_reason": "stop"}]}',
}
STATUSES: dict[str, tuple[int, Any, dict[str, str]]] = {
    "500": (500, fault("InternalServerError", f"boom with {SECRET} inside", 500), {}),
    "503": (503, {"detail": "no room"}, {}),
    "429": (429, fault("RateLimitError", "slow down", 429), {"Retry-After": "0"}),
    "429 long": (429, fault("RateLimitError", "slow down", 429), {"Retry-After": "120"}),
    "400": (400, fault("BadRequestError", "temperature must be non-negative, got -1.0.", 400), {}),
    "401": (401, fault("AuthenticationError", f"Incorrect API key provided: {SECRET}", 401), {}),
    "detail": (404, {"detail": "Not Found"}, {}),
}


def completion(body: dict[str, Any]) -> dict[str, Any]:
    """vLLM sends its nulls."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(WORDS), "refusal": None, "tool_calls": None}
    finish_reason = "stop"
    if body.get("tools"):
        finish_reason = "tool_calls"
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        message |= {"content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795207129,
        "model": body["model"],
        "choices": [choice],
        "system_fingerprint": "vllm-0.32.0-ef711728",
        "usage": USAGE,
        "prompt_logprobs": None,
        "kv_transfer_params": None,
    }


def events(body: dict[str, Any], mood: str, path: str = "/v1/chat/completions") -> list[bytes]:
    """Of the API with this path."""
    if path in STREAMED:
        return to_sse(STREAMED[path](body))
    return write_chunks(completion_chunks(body) if path == "/v1/completions" else chat_chunks(body, mood), body, mood)


def chat_chunks(body: dict[str, Any], mood: str) -> list[dict[str, Any]]:
    """Role, content, finish."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795207146, "model": body["model"]}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return head | {"choices": [choice]}

    first: dict[str, Any] = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": ""},
    }
    tools: list[dict[str, Any]] = [{"tool_calls": [first]}] + [
        {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"city":', '"Rome"}')
    ]
    deltas: list[dict[str, Any]] = tools if body.get("tools") else [{"content": word} for word in WORDS]
    if mood == "old function":
        deltas = [{"function_call": {"name": "weather", "arguments": "{}"}}]
    last = chunk({}, "tool_calls" if body.get("tools") else "stop")
    return [chunk({"role": "assistant", "content": ""}), *map(chunk, deltas), last]


def write_chunks(chunks: list[dict[str, Any]], body: dict[str, Any], mood: str) -> list[bytes]:
    """With usage and done at the end. The mood may put usage in other places."""
    head, last = {key: value for key, value in chunks[0].items() if key != "choices"}, chunks[-1]
    if mood == "usage at finish":
        last["usage"] = USAGE
    elif mood == "usage everywhere":
        chunks = [each | {"usage": USAGE} for each in chunks]
    elif mood == "usage with choice":
        chunks.append(head | {"choices": [{"index": 0, "delta": {}}], "usage": USAGE})
    elif mood != "no usage" and (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(head | {"choices": [], "usage": USAGE})
    if mood == "error inside":
        chunks.insert(2, fault("InternalServerError", f"engine died, key {SECRET}", 500))
    return [b"data: " + json.dumps(each, separators=(",", ":")).encode() + b"\n\n" for each in chunks] + [
        b"data: [DONE]\n\n"
    ]


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Look again and again; TimeoutError if it does not come true."""
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """Serve on a free port; yields it."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_backend() -> AsyncIterator[Backend]:
    backend, app = Backend(), web.Application(client_max_size=2**26)
    for path in ("/v1/chat/completions", *WHOLE):
        app.router.add_post(path, backend.answer)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        app.router.add_route(method, "/v1/responses/{id}" + path, backend.look)
    async with served(app) as backend.port:
        yield backend
