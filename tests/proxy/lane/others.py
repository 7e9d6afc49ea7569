"""Providers that speak neither OpenAI's dialect nor Anthropic's, as LiteLLM calls them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.proxy.backend import served

SOUND = b"ID3" + bytes(range(256))
TRANSCRIPT = {"alternatives": [{"transcript": "do foxes sleep", "words": []}]}
ANSWERS: dict[str, Any] = {
    "/v2/embed": {"id": "e1", "embeddings": {"float": [[0.5, 0.25]]}, "meta": {"billed_units": {"input_tokens": 7}}},
    "/v2/rerank": {
        "id": "r1",
        "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
        "meta": {"billed_units": {"search_units": 1}},
    },
    "/v1/listen": {"metadata": {"duration": 3.5}, "results": {"channels": [TRANSCRIPT]}},
    "/v1/images/generations": {"created": 1795207129, "data": [{"b64_json": "Zm94"}]},
    "/v1/images/edits": {"created": 1795207129, "data": [{"b64_json": "Zm94"}]},
    "/v1/moderations": {
        "id": "m1",
        "model": "mod",
        "results": [{"flagged": True, "categories": {"hate/threatening": True}}],
    },
}


@dataclass
class Others:
    """Cohere, Deepgram, ElevenLabs and Recraft, all at one address."""

    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False
    moved_to: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        try:
            if self.hangs:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.aborted.set()
            raise
        if self.moved_to:
            return web.Response(status=307, headers={"location": self.moved_to})
        if request.path.startswith("/v1/text-to-speech"):
            return web.Response(body=SOUND, content_type="audio/mpeg")
        return web.json_response(ANSWERS[request.path])


@asynccontextmanager
async def running_others() -> AsyncIterator[Others]:
    others, app = Others(), web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", others.answer)
    async with served(app) as others.port:
        yield others
