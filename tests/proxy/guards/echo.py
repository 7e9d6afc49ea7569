"""A model that says what it is told to: the last turn comes back, whole, or in pieces of a few characters."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.proxy.backend import served

Event = dict[str, Any]


@dataclass
class Echo:
    """`answers` are said first, one each; then what was asked. `size` is the length of a piece."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    size: int = 3
    pause_s: float = 0.0
    as_tool: bool = False  # the answer is the argument of a tool
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        said = self._say(body, body["messages"][-1]["content"])
        if body.get("stream"):
            return await self._stream(request, self._chunks(body, said), b"data: [DONE]\n\n")
        message: Event = {"role": "assistant", "content": said}
        if self.as_tool:
            function = {"name": "mail", "arguments": json.dumps({"to": said})}
            message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "1", "model": "echo", "choices": [choice], "usage": USAGE})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        said = self._say(body, body["messages"][-1]["content"])
        whole: Event = {"id": "m", "type": "message", "role": "assistant", "model": "echo", "stop_reason": "end_turn"}
        whole |= {"usage": {"input_tokens": 3, "output_tokens": 4}}
        if body.get("stream"):
            return await self._stream(request, self._blocks(whole, said), b"", named=True)
        return web.json_response(whole | {"content": [{"type": "text", "text": said}]})

    async def responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        said = self._say(body, body["input"])
        part = {"type": "output_text", "text": said, "annotations": []}
        item: Event = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        whole: Event = {"id": "r", "object": "response", "model": "echo", "status": "completed", "usage": usage}
        if body.get("stream"):
            return await self._stream(request, self._items(whole, item, said), b"", named=True)
        return web.json_response(whole | {"output": [item]})

    def _say(self, body: Event, asked: Any) -> str:
        self.requests.append(body)
        return self.answers.pop(0) if self.answers else asked if isinstance(asked, str) else json.dumps(asked)

    def _pieces(self, said: str) -> list[str]:
        return [said[at : at + self.size] for at in range(0, len(said), self.size)]

    def _chunks(self, body: Event, said: str) -> list[Event]:
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "echo"}

        def chunk(delta: Event, reason: str | None = None) -> Event:
            return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

        deltas: list[Event] = [{"content": piece} for piece in self._pieces(said)]
        if self.as_tool:
            begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "mail", "arguments": ""}}
            pieces = self._pieces(json.dumps({"to": said}))
            deltas = [{"tool_calls": [begun]}]
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        chunks = [chunk({"role": "assistant", "content": ""}), *map(chunk, deltas), chunk({}, "stop")]
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(head | {"choices": [], "usage": USAGE})
        return chunks

    def _blocks(self, whole: Event, said: str) -> list[Event]:
        deltas = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in self._pieces(said)
        ]
        return [
            {"type": "message_start", "message": whole | {"content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *deltas,
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": whole["usage"]},
            {"type": "message_stop"},
        ]

    def _items(self, whole: Event, item: Event, said: str) -> list[Event]:
        place = {"item_id": "i", "output_index": 0, "content_index": 0}
        deltas = [{"type": "response.output_text.delta", **place, "delta": piece} for piece in self._pieces(said)]
        begun = item | {"content": [], "status": "in_progress"}
        empty = {"type": "output_text", "text": "", "annotations": []}
        events: list[Event] = [
            {"type": "response.created", "response": whole | {"output": [], "status": "in_progress"}},
            {"type": "response.output_item.added", "output_index": 0, "item": begun},
            {"type": "response.content_part.added", **place, "part": empty},
            *deltas,
            {"type": "response.output_text.done", **place, "text": said},
            {"type": "response.content_part.done", **place, "part": item["content"][0]},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole | {"output": [item]}},
        ]
        return [event | {"sequence_number": at} for at, event in enumerate(events)]

    async def _stream(
        self, request: web.Request, events: list[Event], last: bytes, *, named: bool = False
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            head = f"event: {event['type']}\n" if named else ""
            await response.write(f"{head}data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(self.pause_s)
        await response.write(last)
        return response


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@asynccontextmanager
async def running_echo() -> AsyncIterator[Echo]:
    echo, app = Echo(), web.Application(client_max_size=2**26)
    handlers: dict[str, Callable[[web.Request], Any]] = {
        "/v1/chat/completions": echo.chat,
        "/v1/messages": echo.messages,
        "/v1/responses": echo.responses,
    }
    for path, handler in handlers.items():
        app.router.add_post(path, handler)
    async with served(app) as echo.port:
        yield echo
