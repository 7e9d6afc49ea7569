"""The SQL door: the part of ClickHouse's HTTP interface that readers use, over the embedded engine.

Stock clients connect to it as to a server. What may run is decided in store.guarded; this module speaks HTTP.
"""

import asyncio
import gzip
import re
import uuid
import zlib
from concurrent.futures import Executor
from typing import Final

import lz4.frame
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spanwell_collector.access.gate import Gate
from spanwell_collector.access.rights import OPEN_PATHS, Refusal
from spanwell_collector.store.guarded import Answer, DoorError, GuardedEngine, Question

MAX_REQUEST_BYTES: Final = 8 << 20
COMPRESS_FROM_BYTES: Final = 512
NOT_SETTINGS: Final = frozenset(
    {
        "buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format",
        "enable_http_compression", "http_headers_progress_interval_ms", "param", "password", "query", "query_id",
        "quota_key", "role", "send_progress_in_http_headers", "session_check", "session_id", "session_timeout",
        "stacktrace", "user", "wait_end_of_query",
    }
)  # fmt: skip
HTTP_STATUS: Final = {60: 404, 81: 404, 164: 403, 497: 403, 516: 401, 62: 400, 36: 400, 47: 400, 46: 404}
BAD_REQUEST, AUTHENTICATION_FAILED, ACCESS_DENIED, TOO_LARGE = 36, 516, 497, 307


def build_door(engine: GuardedEngine, pool: Executor, *, version: str, gate: Gate) -> ASGIApp:
    """One ASGI application for the door's port; statements run on `pool`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await _respond(request, engine, pool, gate)
        except DoorError as error:
            response = _refuse(error, version)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    return application


async def _respond(request: Request, engine: GuardedEngine, pool: Executor, gate: Gate) -> Response:
    path = request.scope["path"]
    if path in OPEN_PATHS:
        return PlainTextResponse("Ok.\n")
    password = request.query_params.get("password", "")
    admitted = gate.admit(request.headers, "read", password=password, project="*")
    if isinstance(admitted, Refusal):
        code = AUTHENTICATION_FAILED if admitted.status == 401 else ACCESS_DENIED
        raise DoorError(code, f"{admitted.message} (as password)")
    if path not in ("", "/"):
        raise DoorError(BAD_REQUEST, f"there is no {path} here: send a query to / (BAD_ARGUMENTS)")
    question = await _read_question(request)
    answer = await asyncio.get_running_loop().run_in_executor(pool, engine.ask, question)
    return _encode(answer, request)


async def _read_question(request: Request) -> Question:
    fields = dict(request.query_params)
    body = b""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=0, max_part_size=MAX_REQUEST_BYTES) as form:
            fields |= {name: value for name, value in form.items() if isinstance(value, str)}
    else:
        body = inflate(await _read(request), request.headers.get("content-encoding", ""))
    try:
        text = "\n".join(part for part in (fields.get("query", ""), body.decode()) if part)
    except UnicodeDecodeError:
        raise DoorError(164, "this door is for reading: data cannot be sent to it (READONLY)") from None
    if not text.strip():
        raise DoorError(62, "Empty query (SYNTAX_ERROR)")
    return Question(
        sql=text,
        format=request.headers.get("x-clickhouse-format") or fields.get("default_format") or "TabSeparated",
        parameters={name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")},
        settings={
            name: value for name, value in fields.items() if name not in NOT_SETTINGS and not name.startswith("param_")
        },
        database=fields.get("database") or request.headers.get("x-clickhouse-database", ""),
    )


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            raise DoorError(TOO_LARGE, f"the request is larger than {MAX_REQUEST_BYTES} bytes (TOO_MANY_BYTES)")
        chunks.append(chunk)
    return b"".join(chunks)


def inflate(body: bytes, encoding: str) -> bytes:
    """Undo `encoding`, all frames of it: clients send one a block. Raises DoorError."""
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "lz4"):
        raise DoorError(BAD_REQUEST, f"Content-Encoding {encoding} is not understood; send lz4, gzip or none")
    parts, size = [], 0
    try:
        while body and size <= MAX_REQUEST_BYTES:
            inflater = zlib.decompressobj(wbits=31) if encoding == "gzip" else lz4.frame.LZ4FrameDecompressor()
            parts.append(inflater.decompress(body, MAX_REQUEST_BYTES + 1))
            size += len(parts[-1])
            body = inflater.unused_data or b""
    except (zlib.error, RuntimeError) as error:
        raise DoorError(BAD_REQUEST, f"the body is not {encoding}: {error}") from error
    if size > MAX_REQUEST_BYTES:
        raise DoorError(TOO_LARGE, f"the request is larger than {MAX_REQUEST_BYTES} bytes (TOO_MANY_BYTES)")
    return b"".join(parts)


def _encode(answer: Answer, request: Request) -> Response:
    headers = {**_identify(request.query_params.get("query_id", "")), "X-ClickHouse-Summary": answer.summary.decode()}
    if answer.body:
        headers["X-ClickHouse-Format"] = answer.format
    body = answer.body
    wanted = request.headers.get("accept-encoding", "")
    if request.query_params.get("enable_http_compression") == "1" and len(body) >= COMPRESS_FROM_BYTES:
        if "lz4" in wanted:
            body, headers["Content-Encoding"] = lz4.frame.compress(body), "lz4"
        elif "gzip" in wanted:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
    return Response(body, headers=headers, media_type="application/octet-stream")


def _refuse(error: DoorError, version: str) -> Response:
    return PlainTextResponse(
        f"{error} (version {version})\n",
        status_code=HTTP_STATUS.get(error.code, 500),
        headers={**_identify(""), "X-ClickHouse-Exception-Code": str(error.code)},
    )


def _identify(query_id: str) -> dict[str, str]:
    # A query id comes from the client and goes into a header.
    known = query_id if re.fullmatch(r"[\w.-]{1,128}", query_id) else str(uuid.uuid4())
    return {
        "X-ClickHouse-Server-Display-Name": "spanwell",
        "X-ClickHouse-Query-Id": known,
        "X-ClickHouse-Timezone": "UTC",
    }
