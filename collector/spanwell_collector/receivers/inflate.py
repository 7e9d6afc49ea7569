"""Undoes a body's compression, piece by piece, so that a small body cannot fill the memory."""

from collections.abc import Callable
from typing import Final

from spanwell.frames import BROKEN, INFLATERS, Inflater, read_frames
from spanwell_collector.receivers.refusals import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, RefusedError

MAX_BODY_BYTES: Final = 64 << 20  # on the wire and inflated: the limit the protocol recommends
KEEP_BYTES: Final = 16 << 20  # beyond it the rest is only counted, until it is known that all of it may stay


ALLOWED: Final = ", ".join((*INFLATERS, "identity"))


def inflate(body: bytes, encoding: str, limit: int = MAX_BODY_BYTES) -> bytes:
    """Undo `encoding`; what would be more than `limit` bytes is refused before it is held. Raises RefusedError."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATERS:
        raise RefusedError(
            INVALID_ARGUMENT, f"content-encoding {encoding[:80]!r} is not understood; send {ALLOWED}", http_status=415
        )
    try:
        return _inflate(body, INFLATERS[encoding], limit)
    except BROKEN as error:
        raise RefusedError(INVALID_ARGUMENT, f"the body is not {encoding}: {error}") from error
    except EOFError:
        raise RefusedError(INVALID_ARGUMENT, f"the {encoding} body is cut short") from None


def _inflate(body: bytes, make: Callable[[], Inflater], limit: int) -> bytes:
    parts, size = [], 0
    for part in read_frames(body, make):
        size += len(part)
        if size > limit:
            raise RefusedError(RESOURCE_EXHAUSTED, f"the request is larger than {limit} bytes once inflated")
        if size <= KEEP_BYTES:
            parts.append(part)
    return b"".join(parts if size <= KEEP_BYTES else read_frames(body, make))
