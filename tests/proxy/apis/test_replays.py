"""A cached answer reaches a stock client as it asked for it: whole or as a stream, whichever way it first came."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam

from spanwell import conventions as c
from tests.proxy.backend import Backend
from tests.proxy.gateway import MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.shapes import TEXT
from tests.proxy.sink import Sink

both_ways = pytest.mark.parametrize("streams_first", [False, True])


class Ask(Protocol):
    """Asks by a stock client; gives the text."""

    async def __call__(self, proxy: Proxy, *, stream: bool) -> str: ...


@pytest.fixture
async def cached(backend: Backend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    document = config(deployment(backend.url), cache={"enabled": True})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


async def complete(proxy: Proxy, *, stream: bool) -> str:
    async with proxy.client() as client:
        if not stream:
            return (await client.completions.create(model="fox", prompt="x")).choices[0].text
        chunks = await client.completions.create(model="fox", prompt="x", stream=True)
        return "".join([chunk.choices[0].text async for chunk in chunks])


async def respond(proxy: Proxy, *, stream: bool) -> str:
    async with proxy.client() as client:
        if not stream:
            return (await client.responses.create(model="fox", input="x")).output_text
        async with client.responses.stream(model="fox", input="x") as events:
            said = "".join([event.delta async for event in events if event.type == "response.output_text.delta"])
            assert (await events.get_final_response()).output_text == said
        return said


async def converse(proxy: Proxy, *, stream: bool) -> str:
    asked: list[MessageParam] = [{"role": "user", "content": "x"}]
    async with AsyncAnthropic(base_url=proxy.url, api_key=MASTER_KEY, max_retries=0) as client:
        if stream:
            async with client.messages.stream(model="fox", max_tokens=9, messages=asked) as events:
                return await events.get_final_text()
        message = await client.messages.create(model="fox", max_tokens=9, messages=asked)
        assert message.content[0].type == "text"
        return message.content[0].text


@both_ways
@pytest.mark.parametrize("ask", [complete, respond, converse], ids=["completions", "responses", "messages"])
async def test_the_second_answer_is_the_first_in_another_form(
    cached: Proxy, backend: Backend, sink: Sink, ask: Ask, streams_first: bool
) -> None:
    first = await ask(cached, stream=streams_first)
    again = await ask(cached, stream=streams_first)
    other = await ask(cached, stream=not streams_first)

    spans = await sink.wait(3)
    assert [first, again, other] == [TEXT] * 3
    assert len(backend.requests) == 1
    assert [span.attributes[c.CACHE] for span in spans] == ["miss", "hit", "hit"]
    assert {span.attributes[c.INPUT_TOKENS] for span in spans} == {42}


async def test_vectors_and_counts_are_cached_too(cached: Proxy, backend: Backend) -> None:
    async with cached.client() as client:
        vectors = [(await client.embeddings.create(model="fox", input="x")).data[0].embedding for _ in range(2)]
    for _ in range(2):
        await cached.post({"model": "fox", "messages": [{"role": "user", "content": "x"}]}, "/v1/messages/count_tokens")

    assert vectors == [[0.25, -0.5, 1.0]] * 2
    assert backend.paths == ["/v1/embeddings", "/v1/messages/count_tokens"]
