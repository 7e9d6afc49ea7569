"""A collector that only remembers what it was sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from spanwell_proxy.telemetry.queue import TICK_S
from tests.proxy.backend import served, until


@dataclass
class Seen:
    """One span, its attributes as plain values."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    error: bool
    message: str
    duration_s: float
    attributes: dict[str, Any]


@dataclass
class Sink:
    """`status` is what it answers; `bodies` is all it accepted. `spans` are of calls, `attempts` beneath them."""

    status: int = 200
    port: int = 0
    posts: int = 0
    spans: list[Seen] = field(default_factory=list)
    attempts: list[Seen] = field(default_factory=list)
    batches: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.posts += 1
        if self.status != 200:
            return web.Response(status=self.status)
        body = await request.read()
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.batches.append({pair.key: _plain(pair.value) for pair in resource.resource.attributes})
            for seen in [_seen(span) for scope in resource.scope_spans for span in scope.spans]:
                (self.attempts if seen.name.startswith("attempt ") else self.spans).append(seen)
        return web.Response()

    async def wait(self, count: int, timeout_s: float = 5.0) -> list[Seen]:
        """The spans, once there are `count`; a moment longer, to notice one too many."""
        await until(lambda: len(self.spans) >= count, timeout_s)
        await asyncio.sleep(TICK_S + 0.05)
        assert count == len(self.spans)
        return self.spans


def _seen(span: Span) -> Seen:
    return Seen(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        error=span.status.code == Status.STATUS_CODE_ERROR,
        message=span.status.message,
        duration_s=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes={pair.key: _plain(pair.value) for pair in span.attributes},
    )


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind or "string_value")


@asynccontextmanager
async def running_sink() -> AsyncIterator[Sink]:
    sink, app = Sink(), web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", sink.take)
    async with served(app) as sink.port:
        yield sink
