"""Every attempt that a backend will charge for stands on the bill, once."""

import asyncio
import json

import pytest

from spanwell import conventions as c
from tests.proxy.gateway import ASK
from tests.proxy.sink import Sink
from tests.proxy.upstream.conftest import Scripted, leave

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n"
STREAM = ASK | {"stream": True}


async def test_a_client_that_leaves_the_winner_of_a_race_pays_for_both(scripted: Scripted, sink: Sink) -> None:
    resilience = {"models": {"fox": {"hedge_after": 0.05}}}
    scripts = {"fox/a": ["slow, then a stall"], "fox/b": ["slow, then a stall"]}
    async with scripted(scripts, resilience=resilience) as (proxy, _):
        await leave(proxy, STREAM, 0.6)
        (span,) = await sink.wait(1)

    paid = [one.attributes.get(c.ATTEMPT_INPUT_TOKENS, 0) for one in sink.attempts]
    assert len(paid) == 2
    assert min(paid) > 0
    assert span.attributes[c.INPUT_TOKENS] == sum(paid)


async def test_a_client_that_reads_no_more_does_not_keep_its_place(
    scripted: Scripted, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwell_proxy.serving.departures.UNREAD_S", 0.3)
    async with scripted({"fox/a": ["words without an end"]}, {"timeout": 0.5}) as (proxy, _):
        body = json.dumps(STREAM).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(HEAD.format(proxy.key, len(body)).encode() + body)
        (span,) = await sink.wait(1)
        places = (await proxy.get("/admin/routes")).json()["routes"][0]["deployments"][0]["in_flight"]
        writer.close()

    assert (span.attributes[c.STREAM_END], places) == ("client_disconnect", 0)
    assert span.attributes[c.OUTPUT_TOKENS] > 0
