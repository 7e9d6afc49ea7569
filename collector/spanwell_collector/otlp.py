"""OTLP/HTTP traces in: a bare ASGI application that checks a batch and answers when it is on the disk.

Every error is a google.rpc.Status, as the protocol asks. What cannot be stored now is 503 with Retry-After, never 500:
senders give up on a 500.
"""

import zlib
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from spanwell.errors import SpoolFullError
from spanwell_collector import telemetry
from spanwell_collector.journal import Journal
from spanwell_collector.store.client import OWN_FIELDS

PROTOBUF: Final = "application/x-protobuf"
MAX_BODY_BYTES: Final = 64 << 20  # on the wire and inflated: the limit the protocol recommends
MAX_HELD_BYTES: Final = 256 << 20  # of request bodies, all together
RETRY_AFTER_SECONDS: Final = "2"
ACCEPTED: Final = ExportTraceServiceResponse().SerializeToString()
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE = 3, 8, 14  # google.rpc.Code


class RefusedError(Exception):
    """A batch that is not accepted, and the answer that says so."""

    def __init__(self, http_status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code


class Intake:
    """The application behind POST /v1/traces; it bounds what all requests together hold in memory."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            spans = await self._accept(request)
        except RefusedError as refusal:
            telemetry.BATCHES.labels(str(refusal.http_status)).inc()
            response = refuse(refusal)
        except ClientDisconnect:
            telemetry.BATCHES.labels("disconnected").inc()
            return
        else:
            telemetry.BATCHES.labels("200").inc()
            telemetry.SPANS_ACCEPTED.inc(spans)
            response = Response(ACCEPTED, media_type=PROTOBUF)
        await response(scope, receive, send)

    async def _accept(self, request: Request) -> int:
        if request.method != "POST":
            raise RefusedError(405, INVALID_ARGUMENT, f"{request.method} is not allowed: POST a batch")
        _check_headers(request.headers)
        chunks: list[bytes] = []
        try:
            await self._read(request, chunks)
            body = inflate(b"".join(chunks), request.headers.get("content-encoding", "identity"))
            batch = check_batch(body)
            if batch.spans:
                await self._journal.write(batch.payload)
        except SpoolFullError as error:
            raise RefusedError(503, UNAVAILABLE, str(error)) from error
        finally:
            self._held_bytes -= sum(map(len, chunks))
        return batch.spans

    async def _read(self, request: Request, chunks: list[bytes]) -> None:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            self._held_bytes += len(chunk)
            if size > MAX_BODY_BYTES:
                raise RefusedError(413, RESOURCE_EXHAUSTED, f"the request is larger than {MAX_BODY_BYTES} bytes")
            if self._held_bytes > MAX_HELD_BYTES:
                raise RefusedError(503, UNAVAILABLE, "too many requests at once")


def refuse(refusal: RefusedError) -> Response:
    """The refusal as OTLP wants it."""
    body = Status(code=refusal.code, message=str(refusal)).SerializeToString()
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if refusal.http_status in (429, 503) else {}
    return Response(body, status_code=refusal.http_status, headers=headers, media_type=PROTOBUF)


def _check_headers(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != PROTOBUF:
        raise RefusedError(415, INVALID_ARGUMENT, f"content-type {kind!r} is not understood; send {PROTOBUF}")
    if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise RefusedError(413, RESOURCE_EXHAUSTED, f"the request is larger than {MAX_BODY_BYTES} bytes")


def inflate(body: bytes, encoding: str, limit: int = MAX_BODY_BYTES) -> bytes:
    """Undo `encoding`, never making more than `limit` bytes. Raises RefusedError."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise RefusedError(415, INVALID_ARGUMENT, f"content-encoding {encoding!r} is not understood; send gzip or none")
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise RefusedError(400, INVALID_ARGUMENT, f"the body is not gzip: {error}") from error
    if len(data) > limit:
        raise RefusedError(413, RESOURCE_EXHAUSTED, f"the request is larger than {limit} bytes once inflated")
    if not inflater.eof:
        raise RefusedError(400, INVALID_ARGUMENT, "the gzip body is cut short")
    return data


class Batch(NamedTuple):
    """A request that the engine will be able to parse."""

    payload: bytes
    spans: int


def check_batch(body: bytes) -> Batch:
    """Parse `body` to know that it is whole. Raises RefusedError."""
    try:
        message = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise RefusedError(400, INVALID_ARGUMENT, f"not an ExportTraceServiceRequest: {error}") from error
    if any(tag in body for tag in OWN_FIELDS):
        message.DiscardUnknownFields()
        body = message.SerializeToString()
    spans = sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)
    return Batch(body, spans)
