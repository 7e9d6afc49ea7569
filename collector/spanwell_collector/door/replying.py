"""Sends answers and errors as ClickHouse does: small ones whole, large ones as they come, errors at their end too."""

import asyncio
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import orjson
from starlette.responses import PlainTextResponse, Response
from starlette.types import Send

from spanwell_collector.door.encodings import Encoder
from spanwell_collector.store.guard import DoorError
from spanwell_collector.store.guarded import Statement
from spanwell_collector.streaming import read_ahead, send_piece, send_start

HELD_BYTES: Final = 1 << 20  # up to here an error has a status of its own, and an answer its length and summary
COMPRESS_FROM_BYTES: Final = 512
CUT_AFTER_SECONDS: Final = 0.25  # some clients forget what they have not read yet when the connection is cut
MAX_ERROR_BYTES: Final = 16_000  # clients look for an error in the last bytes of an answer
PLAIN: Final = Encoder("", lambda piece: piece, lambda: b"")
HTTP_STATUS: Final = {
    36: 400, 46: 404, 47: 400, 48: 501, 60: 404, 62: 400, 73: 400, 81: 404, 159: 408, 164: 403, 202: 503, 216: 400,
    307: 413, 497: 403, 516: 401,
}  # fmt: skip
MEDIA_TYPES: Final = {
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
}


async def reply(
    statement: Statement, encoder: Encoder | None, send: Send, threads: ThreadPoolExecutor, version: str
) -> bool:
    """Send the answer; False when it broke off on the way. Raises DoorError while nothing has been sent."""
    pieces, is_whole = await read_ahead(statement.read, threads, enough=HELD_BYTES)
    if is_whole:
        await _send_whole(statement, b"".join(pieces), encoder, send)
        return True
    tag = secrets.token_hex(8)
    headers = _describe(statement, encoder) | {"X-ClickHouse-Exception-Tag": tag}
    await send_start(send, headers.items())
    return await _send_stream(statement, pieces, encoder or PLAIN, send, threads, (tag, version))


def refuse(error: DoorError, version: str, id: str = "") -> Response:
    """The answer to a question that got none."""
    headers = {"X-ClickHouse-Exception-Code": str(error.code), **_identify(id)}
    status = HTTP_STATUS.get(error.code, 500)
    if status == 503:
        headers["Retry-After"] = "2"
    return PlainTextResponse(f"{error} (version {version})\n", status_code=status, headers=headers)


def frame_error(message: str, tag: str) -> bytes:
    """What ends an answer that failed: clients that know `tag` find it, all others see its text."""
    text = message.encode()[:MAX_ERROR_BYTES].decode(errors="ignore").encode() + b"\n"
    size = str(len(text)).encode()
    mark = tag.encode()
    return b"\r\n__exception__\r\n" + mark + b"\r\n" + text + size + b" " + mark + b"\r\n__exception__\r\n"


async def _send_whole(statement: Statement, body: bytes, encoder: Encoder | None, send: Send) -> None:
    encoder = encoder if len(body) >= COMPRESS_FROM_BYTES else None
    encoded = encoder.encode(body) + encoder.end() if encoder else body
    summary = {name: str(value) for name, value in statement.cost()._asdict().items()}
    headers = {"X-ClickHouse-Summary": orjson.dumps(summary).decode(), "Content-Length": str(len(encoded))}
    await send_start(send, (_describe(statement, encoder) | headers).items())
    await send_piece(send, encoded, more=False)


async def _send_stream(
    statement: Statement,
    pieces: Sequence[bytes],
    encoder: Encoder,
    send: Send,
    threads: ThreadPoolExecutor,
    ending: tuple[str, str],
) -> bool:
    loop = asyncio.get_running_loop()
    piece = b"".join(pieces)
    while piece:
        # Off the loop: beside this door it takes spans in.
        encoded = await loop.run_in_executor(threads, encoder.encode, piece)
        if encoded:
            await send_piece(send, encoded)
        try:
            piece = await loop.run_in_executor(threads, statement.read)
        except DoorError as error:
            tag, version = ending
            await send_piece(send, encoder.encode(frame_error(f"{error} (version {version})", tag)) + encoder.end())
            await asyncio.sleep(CUT_AFTER_SECONDS)
            return False
    await send_piece(send, encoder.end(), more=False)
    return True


def _describe(statement: Statement, encoder: Encoder | None) -> dict[str, str]:
    media_type = MEDIA_TYPES.get(statement.format, "application/octet-stream")
    headers = {**_identify(statement.id), "X-ClickHouse-Format": statement.format, "Content-Type": media_type}
    return headers | ({"Content-Encoding": encoder.name} if encoder else {})


def _identify(id: str) -> dict[str, str]:
    known = {"X-ClickHouse-Query-Id": id} if id else {}
    return {"X-ClickHouse-Server-Display-Name": "spanwell", "X-ClickHouse-Timezone": "UTC", **known}
