import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from spanwell import conventions as c
from tests.proxy.backend import SECRET, served, until
from tests.proxy.gateway import Proxy, config, running_proxy
from tests.proxy.sink import Sink, running_sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: dict[str, Any] = {
    "model": "claude/claude-fable",
    "messages": [{"role": "user", "content": "Do foxes sleep?"}],
    "max_tokens": 64,
}
PRICES = {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6, "cache_read_input_token_cost": 3e-7}
# Anthropic counts cached tokens beside the others: 42 sent, 16 of them cached, 20 received
COST_USD = "0.0003828"
WORDS = ("Foxes ", "do ", "sleep.")
USAGE = {"input_tokens": 26, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 0, "output_tokens": 20}


@dataclass
class Anthropic:
    """Speaks the Messages API."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.status != 200:
            error = {"type": "invalid_request_error", "message": f"no, {SECRET}"}
            return web.json_response({"type": "error", "error": error}, status=self.status)
        if body.get("stream"):
            return await self._stream(request, body)
        content = [{"type": "text", "text": "".join(WORDS)}]
        return web.json_response(message(body) | {"content": content, "stop_reason": "end_turn", "usage": USAGE})

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in stream_events(body):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response


def message(body: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    return head | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE | {"output_tokens": 1}}


def stream_events(body: dict[str, Any]) -> list[dict[str, Any]]:
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS
    ]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        {"type": "message_start", "message": message(body)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]


@dataclass
class Poet:
    """A proxy in front of a backend of another dialect."""

    proxy: Proxy
    backend: Anthropic
    sink: Sink


# One for all: a lane takes seconds to start.
@pytest_asyncio.fixture(name="house", scope="module", loop_scope="module")
async def running_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Poet]:
    backend, app = Anthropic(), web.Application()
    app.router.add_post("/v1/messages", backend.answer)
    async with running_sink() as sink, served(app) as backend.port:
        params = {"model": "anthropic/*", "api_base": f"http://127.0.0.1:{backend.port}", "api_key": SECRET}
        document = config({"model_name": "claude/*", "litellm_params": params | PRICES})
        async with running_proxy(tmp_path_factory.mktemp("lane"), document, sink.port) as proxy:
            yield Poet(proxy, backend, sink)
    assert lanes() == []


@pytest.fixture
def poet(house: Poet) -> Poet:
    house.backend.status = 200
    for seen in (house.backend.requests, house.backend.headers, house.sink.spans):
        seen.clear()
    return house


async def test_another_dialect_is_translated_whole_and_streamed(poet: Poet) -> None:
    async with poet.proxy.client(timeout=60) as client:
        whole = await client.chat.completions.create(**ASK)
        stream = await client.chat.completions.create(**ASK, stream=True)
        chunks = [chunk async for chunk in stream]

    spans = await poet.sink.wait(2)
    assert "".join(WORDS) == whole.choices[0].message.content
    assert "".join(WORDS) == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert not any(chunk.usage for chunk in chunks)
    assert [headers["x-api-key"] for headers in poet.backend.headers] == [SECRET] * 2
    assert {request["model"] for request in poet.backend.requests} == {"claude-fable"}
    for span in spans:
        keys = (c.PROVIDER, c.INPUT_TOKENS, c.CACHE_READ_TOKENS, c.OUTPUT_TOKENS, c.COST_USD, c.FINISH_REASONS)
        assert [span.attributes[key] for key in keys] == ["anthropic", 42, 16, 20, COST_USD, ["stop"]]
        assert json.dumps("".join(WORDS)) in span.attributes[c.OUTPUT_MESSAGES]


async def test_a_refusal_comes_through_without_the_key(poet: Poet) -> None:
    poet.backend.status = 400

    reply = await poet.proxy.post(ASK)

    (span,) = await poet.sink.wait(1)
    assert reply.status_code == 400
    assert SECRET not in reply.text + span.message
    assert len(poet.backend.requests) == 1


async def test_a_client_cannot_choose_the_backend(poet: Poet) -> None:
    reply = await poet.proxy.post(
        ASK | {"api_base": "http://127.0.0.1:1", "api_key": "x", "custom_llm_provider": "openai"}
    )

    await poet.sink.wait(1)
    assert reply.status_code == 200
    assert [headers["x-api-key"] for headers in poet.backend.headers] == [SECRET]


async def test_a_lane_that_dies_is_started_again(poet: Poet) -> None:
    (pid,) = lanes()

    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in lanes())
    again = await poet.proxy.post(ASK)

    await poet.sink.wait(1)
    assert again.json()["choices"][0]["message"]["content"] == "".join(WORDS)


def lanes() -> list[int]:
    """Lanes that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline") for pid in children}
    return [pid for pid, path in commands.items() if path.exists() and b"lane.server" in path.read_bytes()]
