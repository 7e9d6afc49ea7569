"""`/v1/files` and `/v1/batches`, as OpenAI's clients know them."""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final, NamedTuple

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from spanwell_proxy.batches.lines import ENDPOINTS
from spanwell_proxy.batches.settings import BatchSettings
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.caller import Caller
from spanwell_proxy.failures import ApiError, bad_request

WINDOW_S: Final = 86_400
CHUNK_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 8  # of a form
MOST_METADATA: Final = 16
MOST_OPEN: Final = 100  # batches of one key that are not over
TIMES: Final = (
    *("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at"),
    "cancelled_at",
)


@dataclass(frozen=True)
class BatchDesk:
    """What the routes work with; they find it as `app.state.batches`. `authenticate` raises ApiError 401."""

    store: BatchStore
    settings: BatchSettings
    authenticate: Callable[[Request], Awaitable[Caller]]


class Visitor(NamedTuple):
    """Who came, and to which desk."""

    caller: Caller
    desk: BatchDesk

    @property
    def store(self) -> BatchStore:
        return self.desk.store


async def _receive(request: Request) -> Visitor:
    desk: BatchDesk | None = request.app.state.batches
    if desk is None:
        raise ApiError(404, "not_found", "batches are switched off here: batches.enabled")
    return Visitor(await desk.authenticate(request), desk)


Someone = Annotated[Visitor, Depends(_receive)]
Cursor = Annotated[str, Query(max_length=100)]
router = APIRouter()


@router.post("/files")
async def upload(visitor: Someone, request: Request) -> Row:
    """The form is read here, and not by FastAPI, which would read all of it before it asks who came."""
    async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
        file, purpose = form.get("file"), form.get("purpose")
        if purpose != "batch":
            raise bad_request("the purpose must be batch: files are for batches here", "purpose")
        if not isinstance(file, UploadFile):
            raise bad_request("the file must be one of a form", "file")
        return await run_in_threadpool(_keep, visitor, file)


@router.get("/files")
def list_files(visitor: Someone, limit: Annotated[int, Query(ge=1, le=10_000)] = 100, after: Cursor = "") -> Row:
    return _page([_show_file(row) for row in visitor.store.list_files(_owner_of(visitor.caller))], limit, after)


@router.get("/files/{file_id}")
def read_file(visitor: Someone, file_id: str) -> Row:
    return _show_file(_find_file(visitor, file_id))


@router.get("/files/{file_id}/content")
def read_content(visitor: Someone, file_id: str) -> StreamingResponse:
    file = visitor.store.read_file(_find_file(visitor, file_id)["id"])
    return StreamingResponse(_read_through(file), media_type="application/octet-stream")


@router.delete("/files/{file_id}")
def delete_file(visitor: Someone, file_id: str) -> Row:
    if visitor.store.is_in_use(_find_file(visitor, file_id)["id"]):
        raise ApiError(409, "file_in_use", "a batch that is not over reads this file; cancel it first", param="file_id")
    visitor.store.delete_file(file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.post("/batches")
def create(visitor: Someone, wanted: Annotated[dict[str, Any], Body()]) -> Row:
    row = _make_batch(visitor, wanted)
    if visitor.store.count_open(row["owner"]) >= MOST_OPEN:
        raise ApiError(429, "too_many_batches", f"at most {MOST_OPEN} batches of yours may be open at a time")
    visitor.store.add_batch(row)
    return _show_batch(row)


@router.get("/batches")
def list_batches(visitor: Someone, limit: Annotated[int, Query(ge=1, le=100)] = 20, after: Cursor = "") -> Row:
    return _page([_show_batch(row) for row in visitor.store.list_batches(_owner_of(visitor.caller))], limit, after)


@router.get("/batches/{batch_id}")
def read_batch(visitor: Someone, batch_id: str) -> Row:
    return _show_batch(_find_batch(visitor, batch_id))


@router.post("/batches/{batch_id}/cancel")
def cancel(visitor: Someone, batch_id: str) -> Row:
    row = _find_batch(visitor, batch_id)
    if not visitor.store.change_batch(batch_id, status="cancelling", cancelling_at=int(time.time())):
        raise ApiError(409, "batch_is_over", f"the batch is {row['status']} already")
    return _show_batch(_find_batch(visitor, batch_id))


def _keep(visitor: Visitor, file: UploadFile) -> Row:
    now, settings = int(time.time()), visitor.desk.settings
    with visitor.store.write_file() as (file_id, kept):
        _copy(file, kept, settings.max_file_bytes, visitor.store.has_room)
    facts = {"owner": visitor.caller.key_id, "filename": (file.filename or "file.jsonl")[:256], "purpose": "batch"}
    times = {"created_at": now, "expires_at": now + int(settings.keep_s)}
    return _show_file(visitor.store.add_file(file_id, facts | times))


def _copy(file: UploadFile, kept: BinaryIO, most_bytes: int, has_room: Callable[[], bool]) -> None:
    size = 0
    while part := file.file.read(CHUNK_BYTES):
        size += len(part)
        if size > most_bytes:
            told = f"the file is larger than {most_bytes} bytes, the bound of batches.max_file_mb"
            raise ApiError(413, "file_too_large", told, param="file")
        if not has_room():
            raise ApiError(507, "disk_full", "the proxy's disk has no room for files", param="file")
        kept.write(part)


def _read_through(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while part := file.read(CHUNK_BYTES):
            yield part


def _make_batch(visitor: Visitor, wanted: dict[str, Any]) -> Row:
    endpoint, metadata = wanted.get("endpoint"), wanted.get("metadata") or {}
    if endpoint not in ENDPOINTS:
        raise bad_request(f"the endpoint must be one of {', '.join(ENDPOINTS)}", "endpoint")
    if wanted.get("completion_window") != "24h":
        raise bad_request("the completion_window must be 24h", "completion_window")
    if (
        not isinstance(metadata, dict)
        or len(metadata) > MOST_METADATA
        or not all(map(_is_text, (*metadata, *metadata.values())))
    ):
        raise bad_request(f"metadata must be at most {MOST_METADATA} texts by name", "metadata")
    file_id = wanted.get("input_file_id")
    if not isinstance(file_id, str) or visitor.store.find_file(file_id, _owner_of(visitor.caller)) is None:
        raise bad_request("input_file_id must be the id of a file of yours", "input_file_id")
    now, batch_id = int(time.time()), "batch_" + secrets.token_hex(12)
    return {
        "id": batch_id,
        "owner": visitor.caller.key_id,
        "endpoint": endpoint,
        "input_file_id": file_id,
        "metadata": metadata,
        "status": "validating",
        "created_at": now,
        "expires_at": now + WINDOW_S,
        "output_file_id": f"{batch_id}-output",
        "error_file_id": f"{batch_id}-errors",
        **dict.fromkeys(TIMES),
        **dict.fromkeys(("total", "completed", "failed"), 0),
        "errors": [],
    }


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 512


def _owner_of(caller: Caller) -> str | None:
    return None if caller.operator else caller.key_id


def _find_file(visitor: Visitor, file_id: str) -> Row:
    row = visitor.store.find_file(file_id, _owner_of(visitor.caller))
    if row is None:
        raise ApiError(404, "file_not_found", f"there is no file {file_id!r}", param="file_id")
    return row


def _find_batch(visitor: Visitor, batch_id: str) -> Row:
    row = visitor.store.find_batch(batch_id, _owner_of(visitor.caller))
    if row is None:
        raise ApiError(404, "batch_not_found", f"there is no batch {batch_id!r}", param="batch_id")
    return row


def _show_file(row: Row) -> Row:
    return {"object": "file", "status": "processed"} | {name: value for name, value in row.items() if name != "owner"}


def _show_batch(row: Row) -> Row:
    errors = [{"object": "error", **error} for error in row["errors"]]
    is_over = row["status"] in ("completed", "expired", "cancelled", "failed")
    return {
        "id": row["id"],
        "object": "batch",
        "endpoint": row["endpoint"],
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": row["input_file_id"],
        "completion_window": "24h",
        "status": row["status"],
        "output_file_id": row["output_file_id"] if is_over else None,
        "error_file_id": row["error_file_id"] if is_over else None,
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "metadata": row["metadata"] or None,
        "request_counts": {"total": row["total"], "completed": row["completed"], "failed": row["failed"]},
    } | {name: row[name] for name in TIMES}


def _page(rows: list[Row], limit: int, after: str) -> Row:
    begin = next((at + 1 for at, row in enumerate(rows) if row["id"] == after), 0)
    page = rows[begin : begin + limit]
    return {
        "object": "list",
        "data": page,
        "has_more": len(rows) > begin + limit,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
