import asyncio
import socket
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from spanwell import conventions as c
from tests.proxy.backend import Backend, running_backend, until
from tests.proxy.gateway import ASK, MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

STREAM = ASK | {"stream": True}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("mood", ["odd choice", "odd message", "odd tool call"])
async def test_a_completion_of_an_odd_shape_is_no_answer(proxy: Proxy, backend: Backend, sink: Sink, mood: str) -> None:
    backend.moods.extend([mood, mood])

    reply = await proxy.post()

    (span,) = await sink.wait(1)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_broken_stream")
    assert span.attributes[c.ATTEMPTS] == 2


async def test_another_deployment_takes_over_at_once(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    away = deployment(f"http://127.0.0.1:{closed_port()}/v1", weight=1000)
    async with running_proxy(tmp_path, config(away, deployment(backend.url, weight=1)), sink.port) as proxy:
        replies = [await proxy.post() for _ in range(4)]

    await sink.wait(4)
    assert [reply.status_code for reply in replies] == [200] * 4


@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_is_not_there_is_unreachable(sink: Sink, tmp_path: Path, stream: bool) -> None:
    document = config(deployment(f"http://127.0.0.1:{closed_port()}/v1"))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        reply = await proxy.post(ASK | {"stream": stream})

    (span,) = await sink.wait(1)
    assert (reply.status_code, span.attributes[c.ERROR_TYPE]) == (502, "upstream_unreachable")
    assert (span.attributes[c.ATTEMPTS], len(sink.attempts)) == (2, 2)
    assert c.COST_USD not in span.attributes


@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_takes_no_connection_is_given_up(sink: Sink, tmp_path: Path, stream: bool) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)  # of those that nobody accepts the kernel keeps one or two, and lets the others wait
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        document = config(
            deployment(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"), resilience={"connect_seconds": 0.2}
        )
        async with running_proxy(tmp_path, document, sink.port) as proxy:
            reply = await proxy.post(ASK | {"stream": stream})

    (span,) = await sink.wait(1)
    assert (reply.status_code, span.attributes[c.ATTEMPTS]) == (504, 2)
    assert "took no connection in 0.2" in reply.text


async def test_a_fallback_answers_when_the_model_does_not(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(
        deployment(f"http://127.0.0.1:{closed_port()}/v1"),
        deployment(backend.url, "owl"),
        router_settings={"num_retries": 0, "fallbacks": [{"fox": ["owl"]}]},
    )
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        reply = await proxy.post()

    (span,) = await sink.wait(1)
    assert reply.status_code == 200
    assert tuple(span.attributes[key] for key in (c.FALLBACK_FROM, c.DEPLOYMENT, c.ATTEMPTS)) == ("fox", "owl-0", 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_hangs_is_given_up(backend: Backend, sink: Sink, tmp_path: Path, stream: bool) -> None:
    backend.moods.append("hang")
    document = config(deployment(backend.url, timeout=0.2), router_settings={"num_retries": 0})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        reply = await proxy.post(ASK | {"stream": stream})

    (span,) = await sink.wait(1)
    assert (reply.status_code, span.attributes[c.ERROR_TYPE]) == (504, "upstream_timeout")


async def collect(proxy: Proxy) -> list[object]:
    async with proxy.client() as client:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
        stream = await client.chat.completions.create(model="fox", messages=messages, stream=True)
        return [chunk async for chunk in stream]


async def test_a_shutdown_is_told_to_those_who_wait(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    backend.moods.append("hang")
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port) as proxy:
        waiting = asyncio.create_task(proxy.post())
        await until(lambda: backend.requests)

    (span,) = await sink.wait(1)
    reply = await waiting
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "shutdown")
    assert (span.error, span.attributes[c.ERROR_TYPE]) == (True, "shutdown")
    assert c.COST_USD not in span.attributes


async def test_a_mistake_of_ours_is_told_in_openais_shape(
    proxy: Proxy, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwell_proxy.upstream.ordering.rewrite", lambda *_: 1 / 0)

    reply = await proxy.post()

    (span,) = await sink.wait(1)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert (span.error, span.attributes[c.ERROR_TYPE]) == (True, "internal_error")


async def test_a_broken_stream_raises_in_the_stock_client(proxy: Proxy, backend: Backend) -> None:
    backend.moods.append("garbage")
    backend.pause_s = 0.02  # what comes before it is seen

    with pytest.raises(openai.APIError, match="no chat completion chunk"):
        await collect(proxy)


async def test_a_client_that_leaves_a_stream_frees_the_backend(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    backend.moods.append("slow")

    async with (
        httpx.AsyncClient() as client,
        client.stream(
            "POST",
            proxy.url + "/v1/chat/completions",
            json=STREAM,
            headers={"authorization": f"Bearer {MASTER_KEY}"},
        ) as reply,
    ):
        async for _ in reply.aiter_bytes():
            break

    await asyncio.wait_for(backend.aborted.wait(), 1.0)
    (span,) = await sink.wait(1)
    assert (span.error, span.attributes[c.STREAM_END]) == (False, "client_disconnect")
    assert span.attributes[c.OUTPUT_TOKENS] > 0


async def test_a_client_that_leaves_before_the_answer_frees_the_backend(
    proxy: Proxy, backend: Backend, sink: Sink
) -> None:
    backend.moods.append("hang")

    with pytest.raises(openai.APITimeoutError):
        async with proxy.client(timeout=0.3) as client:
            await client.chat.completions.create(model="fox", messages=[{"role": "user", "content": "x"}])

    await asyncio.wait_for(backend.aborted.wait(), 1.0)
    (span,) = await sink.wait(1)
    assert (
        span.error,
        span.attributes[c.ERROR_TYPE],
        span.attributes[c.HTTP_STATUS],
    ) == (True, "client_disconnect", 499)


async def test_a_backend_that_closes_idle_connections_costs_no_call(sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as backend:
        document = config(deployment(backend.url), router_settings={"num_retries": 0})
        async with running_proxy(tmp_path, document, sink.port) as proxy:
            await proxy.post()
            backend.moods.append("drop")
            first = await proxy.post()
            second = await proxy.post()

    assert [first.status_code, second.status_code] == [200, 200]
