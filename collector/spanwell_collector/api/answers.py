"""One Arrow table, two spellings: JSON rows by default, an Arrow stream for who asks for it."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
import pyarrow as pa
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from spanwell.errors import QueryError, StoreError
from spanwell_collector.store.asking import TooMuchError

ARROW: Final = "application/vnd.apache.arrow.stream"
JSON: Final = "application/json"


def answer_rows(request: Request, rows: pa.Table, **beside: Any) -> Response:
    """`rows` as the client asked for them; `beside` joins the JSON body, or the Arrow schema's metadata."""
    if ARROW in request.headers.get("accept", ""):
        return Response(to_arrow(rows, beside), media_type=ARROW)
    return answer_json({"rows": to_rows(rows), **beside})


def answer_json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), status_code=status, media_type=JSON)


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of plain values; maps become objects."""
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name in maps:
            row[name] = dict(row[name])
        if "events" in row:
            row["events"] = [{**event, "attributes": dict(event["attributes"])} for event in row["events"]]
    return rows


def to_arrow(table: pa.Table, beside: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({name: orjson.dumps(value) for name, value in beside.items()})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def answer_error(status: int, message: str, *, field: str | None = None, allowed: Any = None) -> Response:
    response = answer_json({"error": {"message": message, "field": field, "allowed": allowed}}, status)
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


async def answer_invalid(_request: Request, error: Exception) -> Response:
    """The first parameter that is wrong, by name, with what it may be."""
    assert isinstance(error, RequestValidationError)
    # Of a body that may be one object or a list of them, the errors that reach furthest in are the ones meant.
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    context = first.get("ctx", {})
    place = [part for part in first["loc"] if isinstance(part, str) and part not in ("query", "path", "body")]
    field = context.get("field") or (place[-1] if place else None)
    allowed = context.get("allowed") or context.get("expected") or context.get("pattern")
    return answer_error(400, f"{field or 'request'}: {first['msg']}", field=field, allowed=allowed)


async def answer_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer_error(error.status_code, str(error.detail))


async def answer_store(_request: Request, error: Exception) -> Response:
    """A question the engine refuses is the client's; a store that is away is not."""
    field = "start" if isinstance(error, TooMuchError) else None
    return answer_error(400 if isinstance(error, QueryError) else 503, str(error), field=field)


HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    RequestValidationError: answer_invalid,
    HTTPException: answer_http,
    StoreError: answer_store,
}
