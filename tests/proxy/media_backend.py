"""A backend for all that is no text: reranks, moderations, pictures and sounds, in OpenAI's and vLLM's shapes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

SOUND = b"\t\n " + bytes(range(256)) * 40  # no text: what looks like white space is heard too
PICTURE = "iVBORw0KGgo" * 20
SPOKEN = "Do foxes sleep?"
SECONDS = {"type": "duration", "seconds": 7}
DRAWN = {
    "input_tokens": 50,
    "output_tokens": 1056,
    "total_tokens": 1106,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


@dataclass
class MediaBackend:
    """What it was asked: forms as fields by name, files as (name, type, bytes)."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    break_off: bool = False
    cannot_stream: bool = False
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        path = request.path.removeprefix("/v1")
        if path == "/audio/speech":
            return await self._speak(request)
        if body.get("stream") in (True, "true") and not self.cannot_stream:
            events = IMAGE_EVENTS if path.startswith("/images") else TEXT_EVENTS
            return await _stream(request, [*events[:1], FAULT] if self.break_off else events)
        if path.startswith("/audio") and body.get("response_format") in ("text", "srt"):
            return web.Response(text=SPOKEN, content_type="text/plain")
        return web.json_response(WHOLE[path](body))

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "audio/mpeg"})
        await response.prepare(request)
        for begin in range(0, len(SOUND), 1024):
            if self.break_off and begin:
                assert request.transport is not None
                request.transport.abort()
            await response.write(SOUND[begin : begin + 1024])
            await asyncio.sleep(0.005)
        return response


async def _read(request: web.Request) -> dict[str, Any]:
    if not request.content_type.startswith("multipart/"):
        return dict(await request.json())
    found: dict[str, Any] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read())
        value: Any = (part.filename, part.headers.get("content-type"), data) if part.filename else data.decode()
        name = str(part.name)
        found[name] = [*found[name], value] if name.endswith("[]") and name in found else value
        if name.endswith("[]") and not isinstance(found[name], list):
            found[name] = [value]
    return found


async def _stream(request: web.Request, events: list[dict[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        if event is FAULT:
            await asyncio.sleep(0.1)  # what came before has reached the client
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return response


def _rank(body: dict[str, Any]) -> dict[str, Any]:
    results = [
        {"index": at, "document": {"text": text}, "relevance_score": 1 / (at + 1)}
        for at, text in enumerate(body["documents"])
    ]
    return {"id": "rerank-1", "model": body["model"], "usage": {"total_tokens": 56}, "results": results}


def _moderate(body: dict[str, Any]) -> dict[str, Any]:
    result = {"flagged": True, "categories": {"violence": True, "hate": False}, "category_scores": {"violence": 0.9}}
    return {"id": "modr-1", "model": body["model"], "results": [result]}


def _draw(body: dict[str, Any]) -> dict[str, Any]:
    pictures = [{"b64_json": PICTURE}] * int(body.get("n") or 1)
    return {"created": 1795207146, "data": pictures} | ({"usage": DRAWN} if body["model"] == "gpt-image-1" else {})


def _listen(body: dict[str, Any]) -> dict[str, Any]:
    return {"text": SPOKEN, "usage": SECONDS}


WHOLE = {
    "/rerank": _rank,
    "/moderations": _moderate,
    "/images/generations": _draw,
    "/images/edits": _draw,
    "/images/variations": _draw,
    "/audio/transcriptions": _listen,
    "/audio/translations": _listen,
}
FAULT: dict[str, Any] = {"type": "error", "error": {"message": "the painter fell ill", "type": "server_error"}}
IMAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "image_generation.partial_image", "b64_json": PICTURE[:11], "partial_image_index": 0},
    {"type": "image_generation.completed", "b64_json": PICTURE, "usage": DRAWN},
]
TEXT_EVENTS: list[dict[str, Any]] = [
    *({"type": "transcript.text.delta", "delta": word + " "} for word in SPOKEN.split()),
    {
        "type": "transcript.text.done",
        "text": SPOKEN,
        "usage": {
            "type": "tokens",
            "input_tokens": 14,
            "output_tokens": 4,
            "input_token_details": {"audio_tokens": 14},
        },
    },
]


@asynccontextmanager
async def running_media_backend() -> AsyncIterator[MediaBackend]:
    backend = MediaBackend()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    for path in (*WHOLE, "/audio/speech"):
        app.router.add_post("/v1" + path, backend.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    backend.port = runner.addresses[0][1]
    yield backend
    await runner.cleanup()
