"""The client for https backends. The tests' backend speaks no TLS: only the choice of the client is forced."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell_proxy.config import routes
from spanwell_proxy.upstream.wire import Wire
from tests.proxy.backend import WORDS, Backend
from tests.proxy.gateway import ASK, COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

read_address = routes._read_address


@pytest.fixture
async def proxy(backend: Backend, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    monkeypatch.setattr(routes, "_read_address", lambda *given: replace(read_address(*given), scheme="https"))
    monkeypatch.delattr(Wire, "post")
    document = config(deployment(backend.url, timeout=5))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_through_and_is_accounted(proxy: Proxy, sink: Sink, stream: bool) -> None:
    replies = [await proxy.post(ASK | {"stream": stream}) for _ in range(2)]

    spans = await sink.wait(2)
    assert all(WORDS[0] in reply.text for reply in replies)
    assert [span.attributes[c.COST_USD] for span in spans] == [COST_USD] * 2


async def test_a_large_body_arrives_whole(proxy: Proxy, backend: Backend) -> None:
    ask: dict[str, Any] = ASK | {"messages": [{"role": "user", "content": "x" * 3_000_000}]}

    reply = await proxy.post(ask)

    assert reply.status_code == 200
    assert backend.requests[0]["messages"] == ask["messages"]


@pytest.mark.parametrize(("mood", "status"), [("drop", 502), ("500", 500), ("400", 400)])
async def test_a_failure_is_told(proxy: Proxy, backend: Backend, mood: str, status: int) -> None:
    backend.moods.extend([mood, mood])

    assert (await proxy.post()).status_code == status


async def test_an_answer_without_an_end_is_given_up(
    proxy: Proxy, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwell_proxy.upstream.client.LONGEST_ANSWER_BYTES", 10)

    reply = await proxy.post()

    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_unreachable")


async def test_a_stream_that_breaks_ends_with_an_error(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    backend.moods.append("close early")

    reply = await proxy.post(ASK | {"stream": True})

    (span,) = await sink.wait(1)
    assert '"error"' in reply.text
    assert (span.error, span.attributes[c.STREAM_END]) == (True, "upstream_error")
