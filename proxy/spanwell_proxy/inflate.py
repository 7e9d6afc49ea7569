"""Undoes a request body's compression, piece by piece, so that a small body cannot fill the memory."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from backports import zstd

from spanwell_proxy.failures import ApiError, bad_request

STEP_BYTES: Final = 256 << 10
ZSTD_WINDOW_LOG: Final = 23  # 8 MiB: what a decoder has to support, and as much as a client can make us set aside
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


def inflate(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Undo `encoding`. Raises ApiError: 415 for one that is not known, 413 beyond `most_bytes`, 400 if it is broken."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATERS:
        allowed = ", ".join((*INFLATERS, "identity"))
        raise ApiError(415, "unsupported_encoding", f"this content-encoding is not understood; send {allowed}")
    parts, size = [], 0
    try:
        for part in _read(body, INFLATERS[encoding]):
            parts.append(part)
            size += len(part)
            if size > most_bytes:
                raise ApiError(413, "body_too_large", f"the body is larger than {most_bytes} bytes once inflated")
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise bad_request(f"the body is not whole and valid {encoding}", None) from error
    return b"".join(parts)


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
