import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell.demo.backfill import backfill
from spanwell.demo.collector_client import CollectorClient, RefusedError, SpanSender
from spanwell.demo.otlp import Producer, Span
from spanwell.settings import Settings


@dataclass
class Recorder:
    """A collector that keeps what it is sent; `answers` are the statuses of the next requests, then 200."""

    answers: list[int] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.requests.append((scope["path"], body))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    def spans(self) -> list[ExportTraceServiceRequest]:
        bodies = [body for path, body in self.requests if path == "/v1/traces"]
        return [ExportTraceServiceRequest.FromString(gzip.decompress(body)) for body in bodies]


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def collector(recorder: Recorder) -> AsyncIterator[CollectorClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(recorder, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server._serve([listener]))
    client = CollectorClient(Settings(collector_port=listener.getsockname()[1]))
    yield client
    await client.close()
    server.should_exit = True
    await serving
    listener.close()


def span(number: int) -> Span:
    return Span(trace_id=bytes(15) + b"\1", span_id=bytes(7) + bytes([number]), name="a", start_ns=1, end_ns=2)


async def test_an_interrupted_history_goes_on_where_it_stopped(
    collector: CollectorClient, recorder: Recorder, tmp_path: Path
) -> None:
    marker = tmp_path / "history.json"
    marker.write_text(json.dumps({"now": "2026-11-21T09:00:00+00:00", "sent": 3, "done": False}))

    await backfill(collector, marker)
    sent = len(recorder.requests)
    await backfill(collector, marker)

    state = json.loads(marker.read_text())
    assert state["done"] is True
    assert sent == state["sent"] - 3
    assert len(recorder.requests) == sent


async def test_a_busy_collector_is_asked_again(collector: CollectorClient, recorder: Recorder) -> None:
    recorder.answers = [503, 429]

    await collector.send_scores([{"value": 1.0}])

    assert recorder.requests == [("/api/v1/scores", b'[{"value":1.0}]')]


async def test_a_refusal_is_not_asked_again(collector: CollectorClient, recorder: Recorder) -> None:
    recorder.answers = [400]

    with pytest.raises(RefusedError, match="400"):
        await collector.send_batch(b"")


async def test_a_producers_batches_are_numbered_for_the_ledger(collector: CollectorClient, recorder: Recorder) -> None:
    sender = SpanSender(collector, Producer({"service.name": "a"}, "s"))
    for numbers in ((1, 2), (3,)):
        for number in numbers:
            sender.put(span(number))
        await sender.flush()

    ledgers = [
        {item.key: item.value.int_value for item in request.resource_spans[0].resource.attributes}
        for request in recorder.spans()
    ]
    assert [(ledger["spanwell.batch.first"], ledger["spanwell.batch.spans"]) for ledger in ledgers] == [(0, 2), (2, 1)]
