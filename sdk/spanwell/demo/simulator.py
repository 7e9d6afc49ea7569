"""A simulated vLLM server as a bare ASGI app: vLLM's HTTP contract without a GPU, for demos and for your own tests.

It answers /v1/chat/completions (unary and streamed, tools, JSON schemas), /v1/completions, /v1/models, /health,
/version, /load and /metrics in the shapes of vLLM 0.32, and refuses what vLLM refuses in the same words. Every answer
says `x-simulated: true`. The same seed and prompt give the same answer. In a test, without a port and without waiting:

    from openai import AsyncOpenAI
    from spanwell.demo.simulator import Simulator

    app = Simulator(time_scale=0)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))
    client = AsyncOpenAI(base_url="http://simulated/v1", api_key="none", http_client=http)

or over a port: `uvicorn.run(Simulator(), port=8000)`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from spanwell.demo.chat_requests import check_parameters, check_prompt, find_model, parse_body
from spanwell.demo.drafts import compose_draft
from spanwell.demo.otlp import Span
from spanwell.demo.profiles import MODELS, ModelProfile, Timing, draw_timing
from spanwell.demo.tokens import PrefixCache, prompt_pieces
from spanwell.demo.vllm_spans import read_traceparent, request_span
from spanwell.demo.vllm_stats import EngineStats, expose
from spanwell.demo.vllm_stream import stream_chunks
from spanwell.demo.vllm_wire import VERSION, ApiError, Reply, chat_body, completion_body, model_list

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


class Engine:
    """One model: its profile, its statistics, its prefix cache and its place in the queue."""

    def __init__(self, model: ModelProfile) -> None:
        self.model = model
        self.stats = EngineStats(model)
        self.prefixes = PrefixCache(model.kv_cache_tokens)
        self.slots = asyncio.Semaphore(model.max_num_seqs)
        self.failures = 0


@dataclass(frozen=True)
class Exchange:
    """One accepted request and the channel it is answered on."""

    engine: Engine
    body: dict[str, Any]
    reply: Reply
    timing: Timing
    headers: dict[str, str]
    is_chat: bool


class Simulator:
    """The app. `time_scale` 0 answers at once, 1 takes the profiles' time; `on_span` gets vLLM's span of a request."""

    def __init__(
        self,
        models: Sequence[ModelProfile] = MODELS,
        *,
        seed: int = 0,
        time_scale: float = 1.0,
        on_span: Callable[[Span], None] | None = None,
    ) -> None:
        self.engines = {model.name: Engine(model) for model in models}
        self._models = {model.name: model for model in models}
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - a simulation, not a secret
        self._time_scale = time_scale
        self._on_span = on_span
        self._started_s = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _run_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method == "POST" and path in (CHAT, COMPLETIONS):
            await self._generate(scope, receive, send)
        elif method == "GET" and (page := self._page(path)) is not None:
            kind = b"text/plain; version=0.0.4; charset=utf-8" if path == "/metrics" else JSON
            await _send_whole(send, 200, page, [(b"content-type", kind)] if page else [])
        else:
            await _send_whole(send, 404, b'{"detail":"Not Found"}', [(b"content-type", JSON)])

    def _page(self, path: str) -> bytes | None:
        match path:
            case "/health":
                return b""
            case "/version":
                return orjson.dumps({"version": VERSION})
            case "/load":
                return orjson.dumps({"server_load": sum(one.stats.running for one in self.engines.values())})
            case "/metrics":
                return expose(engine.stats for engine in self.engines.values())
            case "/v1/models":
                return model_list(list(self._models.values()), self._started_s)
        return None

    async def _generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            exchange = self._accept(await _read_body(receive), headers, scope["path"] == CHAT)
        except ApiError as error:
            await _send_whole(send, error.code, error.body, [(b"content-type", JSON), *_identity(headers)])
            return
        stats = exchange.engine.stats
        stats.waiting += 1
        async with exchange.engine.slots:
            stats.waiting -= 1
            await self._answer(exchange, receive, send)

    def _accept(self, raw: bytes, headers: dict[str, str], is_chat: bool) -> Exchange:
        """Check the request, draw what the answer will be and how long it takes. Raises ApiError."""
        body = parse_body(raw, "messages" if is_chat else "prompt")
        model = find_model(body, self._models)
        check_parameters(body, model)
        if not is_chat:
            body["messages"] = [{"role": "user", "content": str(body["prompt"])}]
        check_prompt(body["messages"], model)
        engine = self.engines[model.name]
        self._maybe_fail(engine)
        pieces = prompt_pieces(body["messages"])
        cached, created = engine.prefixes.admit(pieces)
        drafts = tuple(compose_draft(body, model, self._seed + index) for index in range(body.get("n") or 1))
        prefix = "chatcmpl-" if is_chat else "cmpl-"
        reply = Reply(
            id=prefix + headers.get("x-request-id", secrets.token_hex(8)),
            created=int(time.time()),
            model=model.name,
            drafts=drafts,
            prompt_tokens=len(pieces),
            cached_tokens=cached,
            created_cache_tokens=created,
            wants_logprobs=bool(body.get("logprobs")),
        )
        return Exchange(engine, body, reply, draw_timing(model, len(pieces) - cached, self._random), headers, is_chat)

    def _maybe_fail(self, engine: Engine) -> None:
        if self._random.random() >= engine.model.error_rate:
            return
        engine.failures += 1
        engine.stats.finished["error"] += 1
        if engine.failures % 3 == 0:
            raise ApiError(429, "The engine's queue is full. Please try again later.", "Too Many Requests")
        raise ApiError(
            500, "EngineCore encountered an issue. See stack trace (above) for the root cause.", "InternalServerError"
        )

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        engine, reply, started_s = exchange.engine, exchange.reply, time.monotonic()
        engine.stats.begin(reply)
        finish_reason = "abort"
        try:
            if exchange.body.get("stream"):
                finished = await self._stream(exchange, receive, send)
            else:
                finished = await self._answer_whole(exchange, send)
            if finished:
                finish_reason = "length" if reply.drafts[0].finish_reason == "length" else "stop"
        finally:
            e2e_s = time.monotonic() - started_s
            engine.stats.end(reply, finish_reason, exchange.timing.ttft_ms / 1000 * self._time_scale, e2e_s)
        self._report(exchange)

    async def _answer_whole(self, exchange: Exchange, send: Send) -> bool:
        duration_ms = exchange.timing.duration_ms(max(len(draft.pieces) for draft in exchange.reply.drafts))
        await asyncio.sleep(duration_ms / 1000 * self._time_scale)
        write = chat_body if exchange.is_chat else completion_body
        await _send_whole(send, 200, write(exchange.reply), [(b"content-type", JSON), *_extra_headers(exchange)])
        return True

    async def _stream(self, exchange: Exchange, receive: Receive, send: Send) -> bool:
        """Send chunk by chunk; False if the client left before the end."""
        await send(_start(200, [(b"content-type", EVENTS), *_extra_headers(exchange)]))
        gone = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            async for chunk in self._paced(exchange):
                if gone.done():
                    return False
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _paced(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The chunks, each at its moment: the first token after TTFT, the others a token time apart."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + exchange.timing.ttft_ms / 1000 * self._time_scale
        for chunk in stream_chunks(exchange.reply, exchange.body, exchange.is_chat):
            await asyncio.sleep(max(due_s - loop.time(), 0))
            due_s += exchange.timing.token_ms / 1000 * self._time_scale
            yield chunk

    def _report(self, exchange: Exchange) -> None:
        parent = read_traceparent(exchange.headers.get("traceparent"))
        if self._on_span is not None and parent.sampled:
            span = request_span(exchange.reply, exchange.body, exchange.timing, parent, time.time_ns())
            self._on_span(span)


def _extra_headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    headers = _identity(exchange.headers)
    wanted = exchange.headers.get("endpoint-load-metrics-format", "").lower()
    stats = exchange.engine.stats
    load = {"num_requests_waiting": float(stats.waiting), "kv_cache_usage_perc": stats.kv_cache_usage}
    if wanted == "json":
        headers.append((b"endpoint-load-metrics", b"JSON " + orjson.dumps({"named_metrics": load})))
    elif wanted == "text":
        pairs = ", ".join(f"named_metrics.{name}={value}" for name, value in load.items())
        headers.append((b"endpoint-load-metrics", f"TEXT {pairs}".encode()))
    return headers


def _identity(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(b"x-request-id", headers["x-request-id"].encode("latin-1"))] if "x-request-id" in headers else []


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    labelled = [*headers, (b"vary", b"Origin"), (b"x-simulated", b"true")]
    return {"type": "http.response.start", "status": status, "headers": labelled}


async def _send_whole(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send(_start(status, [(b"content-length", str(len(body)).encode()), *headers]))
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _run_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
