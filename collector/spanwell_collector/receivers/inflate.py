"""Undoes a body's compression, piece by piece, so that a small body cannot fill the memory."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from backports import zstd

from spanwell_collector.receivers.refusals import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, RefusedError

MAX_BODY_BYTES: Final = 64 << 20  # on the wire and inflated: the limit the protocol recommends
STEP_BYTES: Final = 256 << 10
KEEP_BYTES: Final = 16 << 20  # beyond it the rest is only counted, until it is known that all of it may stay
ZSTD_WINDOW_LOG: Final = 23  # 8 MiB: what a decoder has to support, and as much as a sender can make us set aside
GZIP_WBITS, ZLIB_WBITS = 31, 15


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's inflater, in the manner of the others: it keeps what it was not asked for yet."""

    def __init__(self, wbits: int) -> None:
        self._inflater = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


INFLATERS: Final[Mapping[str, Callable[[], _Inflater]]] = {
    "gzip": lambda: _Zlib(GZIP_WBITS),
    "deflate": lambda: _Zlib(ZLIB_WBITS),
    "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}),
}
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
    except (zlib.error, zstd.ZstdError) as error:
        raise RefusedError(INVALID_ARGUMENT, f"the body is not {encoding}: {error}") from error
    except EOFError:
        raise RefusedError(INVALID_ARGUMENT, f"the {encoding} body is cut short") from None


def _inflate(body: bytes, make: Callable[[], _Inflater], limit: int) -> bytes:
    parts, size = [], 0
    for part in _read(body, make):
        size += len(part)
        if size > limit:
            raise RefusedError(RESOURCE_EXHAUSTED, f"the request is larger than {limit} bytes once inflated")
        if size <= KEEP_BYTES:
            parts.append(part)
    return b"".join(parts if size <= KEEP_BYTES else _read(body, make))


def _read(body: bytes, make: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Every frame of `body` in steps. Raises EOFError when the last is not whole."""
    inflater, begun = make(), False
    for start in range(0, len(body), STEP_BYTES):
        data = body[start : start + STEP_BYTES]
        while data or begun:
            part = inflater.decompress(data, STEP_BYTES)
            begun = True
            yield part
            data = b""
            if inflater.eof:
                data, inflater, begun = inflater.unused_data, make(), False
            elif len(part) < STEP_BYTES:
                break
    if begun:
        raise EOFError
