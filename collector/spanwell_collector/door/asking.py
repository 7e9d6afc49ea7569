"""Reads what a request asks, as ClickHouse's HTTP interface takes it."""

import re
import uuid
from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request

from spanwell_collector.door.encodings import MAX_REQUEST_BYTES, TOO_LARGE, inflate
from spanwell_collector.store.guard import BAD_ARGUMENTS, READONLY, SYNTAX_ERROR, DoorError
from spanwell_collector.store.guarded import Question

NOT_SETTINGS: Final = frozenset(
    {
        "buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format",
        "http_headers_progress_interval_ms", "param", "password", "query", "query_id", "quota_key", "role",
        "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace", "user",
        "wait_end_of_query",
    }
)  # fmt: skip
NOT_IMPLEMENTED: Final = 48
OWN_BLOCKS: Final = ("compress", "decompress")


class Asked(NamedTuple):
    """A question, the id it goes by, and the compressions its answer may have."""

    question: Question
    id: str
    accepted: str


async def read_asked(request: Request) -> Asked:
    """Raises DoorError and ClientDisconnect."""
    fields = dict(request.query_params)
    body = b""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=0, max_part_size=MAX_REQUEST_BYTES) as form:
            fields |= {name: value for name, value in form.items() if isinstance(value, str)}
    else:
        body = inflate(await _read(request), request.headers.get("content-encoding", ""))
    for name in OWN_BLOCKS:
        if fields.get(name, "0") not in ("0", ""):
            advice = "compress over HTTP instead: enable_http_compression=1 with Accept-Encoding, or Content-Encoding"
            raise DoorError(NOT_IMPLEMENTED, f"{name}=1 is not spoken here; {advice} (NOT_IMPLEMENTED)")
    return Asked(
        Question(
            sql=_join(fields.get("query", ""), body),
            format=request.headers.get("x-clickhouse-format") or fields.get("default_format") or "TabSeparated",
            parameters={
                name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")
            },
            settings=_settings(fields),
            database=fields.get("database") or request.headers.get("x-clickhouse-database", ""),
        ),
        _identify(fields.get("query_id", "")),
        request.headers.get("accept-encoding", "") if fields.get("enable_http_compression") == "1" else "",
    )


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            raise DoorError(TOO_LARGE, f"the request is larger than {MAX_REQUEST_BYTES} bytes (TOO_MANY_BYTES)")
        chunks.append(chunk)
    return b"".join(chunks)


def _join(query: str, body: bytes) -> str:
    try:
        text = "\n".join(part for part in (query, body.decode()) if part)
    except UnicodeDecodeError:
        raise DoorError(READONLY, "this door is for reading: data cannot be sent to it (READONLY)") from None
    if not text.strip():
        raise DoorError(SYNTAX_ERROR, "Empty query (SYNTAX_ERROR)")
    return text


def _settings(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in NOT_SETTINGS and not name.startswith("param_")}


def _identify(given: str) -> str:
    # It goes into a header, and by it a statement can be ended.
    if given and not re.fullmatch(r"[\w.-]{1,128}", given, re.ASCII):
        raise DoorError(BAD_ARGUMENTS, "query_id may be up to 128 letters, digits, dots, dashes and underscores")
    return given or str(uuid.uuid4())
