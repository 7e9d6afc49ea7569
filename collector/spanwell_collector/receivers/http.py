"""OTLP over HTTP: a bare ASGI application that checks a request and answers when it is on the disk.

What cannot be stored now is 503 with Retry-After, never 500: senders give up on a 500.
"""

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from spanwell_collector import telemetry
from spanwell_collector.access.scope import project_of
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.receivers.browsers import allow_page
from spanwell_collector.receivers.checks import Accepted, make_answer
from spanwell_collector.receivers.inflate import MAX_BODY_BYTES
from spanwell_collector.receivers.intake import Room, arriving, keep
from spanwell_collector.receivers.refusals import (
    INVALID_ARGUMENT,
    JSON,
    PROTOBUF,
    RESOURCE_EXHAUSTED,
    Encoding,
    RefusedError,
    respond,
)
from spanwell_collector.receivers.signals import BY_PATH, Signal


class HttpReceiver:
    """The application behind POST /v1/traces, /v1/logs and /v1/metrics; `room` is what all requests share."""

    def __init__(self, journal: Journal, room: Room) -> None:
        self._journal = journal
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        signal = BY_PATH[scope["path"]]
        try:
            response = await self._accept(request, signal)
        except RefusedError as refusal:
            response = respond(refusal, encoding_of(request.headers))
        except ClientDisconnect:
            telemetry.BATCHES.labels("disconnected").inc()
            return
        telemetry.BATCHES.labels(str(response.status_code)).inc()
        response.headers.update(allow_page(request.headers))
        await response(scope, receive, send)

    async def _accept(self, request: Request, signal: Signal) -> Response:
        encoding = _check_head(request)
        chunks: list[bytes] = []
        try:
            async with arriving():
                await self._read(request, chunks)
            body, compression = b"".join(chunks), request.headers.get("content-encoding", "")
            project = project_of(request.scope)
            accepted = await self._room.read(signal, body, compression, encoding, project)
            await keep(self._journal, signal, accepted)
        finally:
            self._room.leave(sum(map(len, chunks)))
        return _respond(signal, accepted, encoding)

    async def _read(self, request: Request, chunks: list[bytes]) -> None:
        size = 0
        async for chunk in request.stream():
            self._room.enter(len(chunk))
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise RefusedError(RESOURCE_EXHAUSTED, f"the request is larger than {MAX_BODY_BYTES} bytes")


def encoding_of(headers: Headers) -> Encoding:
    """How to answer: as the request came, and in protobuf where that cannot be told."""
    return JSON if _content_type(headers) == JSON else PROTOBUF


def _check_head(request: Request) -> Encoding:
    if request.method != "POST":
        raise RefusedError(INVALID_ARGUMENT, f"{request.method} is not allowed: POST a request", http_status=405)
    kind = _content_type(request.headers)
    if kind not in (PROTOBUF, JSON):
        message = f"content-type {kind[:80]!r} is not understood; send {PROTOBUF} or {JSON}"
        raise RefusedError(INVALID_ARGUMENT, message, http_status=415)
    if int(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise RefusedError(RESOURCE_EXHAUSTED, f"the request is larger than {MAX_BODY_BYTES} bytes")
    return encoding_of(request.headers)


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _respond(signal: Signal, accepted: Accepted, encoding: Encoding) -> Response:
    if encoding == PROTOBUF:
        return Response(make_answer(signal, accepted).SerializeToString(), media_type=PROTOBUF)
    rejected = {signal.rejected_json: str(accepted.rejected), "errorMessage": accepted.complaint}
    return Response(orjson.dumps({"partialSuccess": rejected} if accepted.rejected else {}), media_type=JSON)
