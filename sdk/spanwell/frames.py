"""Reads a compressed body in steps, so that a small one cannot fill the memory. Bounds are the caller's."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from backports import zstd

STEP_BYTES: Final = 256 << 10
ZSTD_WINDOW_LOG: Final = 23  # 8 MiB: what a decoder has to support, and as much as a sender can make us set aside
GZIP_WBITS, ZLIB_WBITS = 31, 15
BROKEN: Final = (zlib.error, zstd.ZstdError)


class Inflater(Protocol):
    """Of one frame."""

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


INFLATERS: Final[Mapping[str, Callable[[], Inflater]]] = {
    "gzip": lambda: _Zlib(GZIP_WBITS),
    "deflate": lambda: _Zlib(ZLIB_WBITS),
    "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}),
}


def read_frames(body: bytes, make: Callable[[], Inflater]) -> Iterator[bytes]:
    """Every frame of `body` in steps. Raises one of BROKEN, or EOFError when the last frame is not whole."""
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
