"""A backend that answers as Anthropic's Messages API does (version 2023-06-01), and misbehaves on demand."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.proxy.backend import SECRET, served

WORDS = ("Foxes ", "do ", "sleep.")
THOUGHTS = ("The user asks ", "about foxes.")
SIGNATURE = "EqoBCkgIARABGAIiQHNpZ25hdHVyZQ=="
TOOL_INPUT = {"city": "Rome"}
# What was read from the cache and what was written to it stand beside `input_tokens`, not inside: 42 and 142 in all.
USAGE: dict[str, Any] = {
    "input_tokens": 26,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 16,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 20,
    "service_tier": "standard",
}
CACHE_WRITES = {
    "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
}
COUNTED_TOKENS = 2095
TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
FAULTS: dict[str, tuple[int, str, str]] = {
    "400": (400, "invalid_request_error", f"temperature: range: -1..1, {SECRET}"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "403": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "404": (404, "not_found_error", "model: claude-none"),
    "413": (413, "request_too_large", "Request exceeds the maximum size"),
    "429": (429, "rate_limit_error", "This request would exceed your organization's rate limit"),
    "500": (500, "api_error", f"Internal server error with {SECRET}"),
    "529": (529, "overloaded_error", "Overloaded"),
    "too long": (400, "invalid_request_error", TOO_LONG),
    "policy": (400, "invalid_request_error", "Output blocked by content filtering policy"),
}


@dataclass
class AnthropicBackend:
    """`moods` holds what the next requests meet, one each; when it is empty all goes well."""

    moods: deque[str] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = 0.0
    retry_after: str = "0"
    port: int = 0

    @property
    def url(self) -> str:
        """As `api_base` names it: without /v1."""
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """As if nobody had called yet."""
        for seen in (self.requests, self.headers, self.paths):
            seen.clear()
        self.moods.clear()
        self.aborted.clear()

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        mood = self.moods.popleft() if self.moods else "well"
        if refusal := self._refuse(request, body, mood, ("model", "messages", "max_tokens")):
            return refusal
        try:
            return await self._answer(request, body, mood)
        except (ConnectionResetError, asyncio.CancelledError):
            self.aborted.set()
            raise

    async def count(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        mood = self.moods.popleft() if self.moods else "well"
        refusal = self._refuse(request, body, mood, ("model", "messages"))
        return refusal or web.json_response({"input_tokens": COUNTED_TOKENS})

    async def _note(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        return body

    def _refuse(
        self, request: web.Request, body: dict[str, Any], mood: str, required: tuple[str, ...]
    ) -> web.Response | None:
        if not (request.headers.get("x-api-key") or request.headers.get("authorization")):
            return fault(401, "authentication_error", "x-api-key header is required")
        if "anthropic-version" not in request.headers:
            return fault(400, "invalid_request_error", "anthropic-version: header is required")
        if missing := [name for name in required if name not in body]:
            return fault(400, "invalid_request_error", f"{missing[0]}: Field required")
        if mood in FAULTS:
            return fault(*FAULTS[mood], retry_after=self.retry_after if mood in ("429", "529") else "")
        return None

    async def _answer(self, request: web.Request, body: dict[str, Any], mood: str) -> web.StreamResponse:
        if mood == "hang":
            await asyncio.sleep(60)
        if mood == "drop":
            _abort(request)
        await asyncio.sleep(self.pause_s)
        if body.get("stream"):
            return await self._stream(request, body, mood)
        return web.json_response(message(body), headers=HEADERS)

    async def _stream(self, request: web.Request, body: dict[str, Any], mood: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", **HEADERS})
        await response.prepare(request)
        for at, event in enumerate(events(body)):
            if at == 4 and mood == "close early":
                _abort(request)
            if at == 4 and mood == "slow":
                await asyncio.sleep(30)
            if at == 4 and mood == "error inside":
                await response.write(to_sse({"type": "error", "error": OVERLOADED}))
                break
            await response.write(to_sse(event))
            await asyncio.sleep(self.pause_s)
        return response


HEADERS = {"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
OVERLOADED = {"type": "overloaded_error", "message": f"Overloaded, {SECRET}"}


def fault(status: int, kind: str, words: str, *, retry_after: str = "") -> web.Response:
    error = {"type": "error", "error": {"type": kind, "message": words}, "request_id": HEADERS["request-id"]}
    headers = HEADERS | ({"retry-after": retry_after} if retry_after else {})
    return web.json_response(error, status=status, headers=headers)


def message(body: dict[str, Any]) -> dict[str, Any]:
    """A whole answer: thinking where it was asked for, a call of the first tool where there are tools, else text."""
    blocks = list(content(body))
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn",
        "stop_sequence": None,
        "usage": usage(body),
    }


def content(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        yield {"type": "thinking", "thinking": "".join(THOUGHTS), "signature": SIGNATURE}
    if body.get("tools") and (body.get("tool_choice") or {}).get("type") != "none":
        name = body["tools"][0]["name"]
        yield {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": name, "input": TOOL_INPUT}
    else:
        yield {"type": "text", "text": "".join(WORDS)}


def usage(body: dict[str, Any]) -> dict[str, Any]:
    """With something written to the cache, for five minutes and for an hour, where a block asks for that."""
    return USAGE | (CACHE_WRITES if '"cache_control"' in json.dumps(body) else {})


def events(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The same answer as a stream; the last usage is the sum, not what came since the first."""
    whole = message(body)
    head = whole | {"content": [], "stop_reason": None, "usage": usage(body) | {"output_tokens": 1}}
    middle = [event for index, block in enumerate(whole["content"]) for event in _block_events(index, block)]
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [
        {"type": "message_start", "message": head},
        middle[0],
        {"type": "ping"},
        *middle[1:],
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": USAGE["output_tokens"]}},
        {"type": "message_stop"},
    ]


def _block_events(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    begun, deltas = _unfold(block)
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _unfold(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and the deltas that complete it."""
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": thought} for thought in THOUGHTS]
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    if block["type"] == "tool_use":
        pieces = ("", '{"city":', ' "Rome"}')
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in WORDS]


def to_sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@asynccontextmanager
async def running_anthropic() -> AsyncIterator[AnthropicBackend]:
    backend, app = AnthropicBackend(), web.Application(client_max_size=2**26)
    app.router.add_post("/v1/messages", backend.create)
    app.router.add_post("/v1/messages/count_tokens", backend.count)
    async with served(app) as backend.port:
        yield backend
