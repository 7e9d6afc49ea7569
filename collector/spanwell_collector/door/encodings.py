"""How bodies are compressed: undone on the way in, all frames of them, and done piece by piece on the way out."""

import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import lz4.frame
from backports import zstd

from spanwell_collector.store.guard import BAD_ARGUMENTS, DoorError

MAX_REQUEST_BYTES: Final = 8 << 20
TOO_LARGE: Final = 307


class Encoder(NamedTuple):
    """Makes one compressed body of many pieces. `end` gives what is left at the end."""

    name: str
    encode: Callable[[bytes], bytes]
    end: Callable[[], bytes]


def _begin_lz4() -> Encoder:
    compressor = lz4.frame.LZ4FrameCompressor()
    header = [compressor.begin()]
    return Encoder(
        "lz4",
        lambda piece: (header.pop() if header else b"") + compressor.compress(piece),
        lambda: (header.pop() if header else b"") + compressor.flush(),
    )


def _begin_zstd() -> Encoder:
    compressor = zstd.ZstdCompressor(level=1)
    return Encoder("zstd", compressor.compress, compressor.flush)


def _begin_gzip() -> Encoder:
    compressor = zlib.compressobj(1, wbits=31)
    return Encoder("gzip", compressor.compress, compressor.flush)


def _begin_deflate() -> Encoder:
    compressor = zlib.compressobj(1, wbits=15)
    return Encoder("deflate", compressor.compress, compressor.flush)


ENCODERS: Final = {
    "lz4": _begin_lz4,
    "zstd": _begin_zstd,
    "gzip": _begin_gzip,
    "deflate": _begin_deflate,
}  # fastest first
DECODERS: Final[dict[str, Callable[[], Any]]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": lambda: zlib.decompressobj(wbits=15),
}


def choose_encoder(accepted: str) -> Encoder | None:
    """The fastest of those that an Accept-Encoding names."""
    named = set()
    for part in accepted.split(","):
        name, _, weight = part.strip().lower().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0"):
            named.add(name.strip())
    return next((begin() for name, begin in ENCODERS.items() if name in named), None)


def inflate(body: bytes, encoding: str) -> bytes:
    """Undo `encoding`, all frames of it: clients send one a block. Raises DoorError."""
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in DECODERS:
        allowed = ", ".join(DECODERS)
        raise DoorError(BAD_ARGUMENTS, f"Content-Encoding {encoding[:50]} is not understood; send {allowed} or none")
    parts, size = [], 0
    try:
        while body and size <= MAX_REQUEST_BYTES:
            inflater = DECODERS[encoding]()
            parts.append(inflater.decompress(body, MAX_REQUEST_BYTES + 1))
            size += len(parts[-1])
            if not inflater.eof and size <= MAX_REQUEST_BYTES:
                raise DoorError(BAD_ARGUMENTS, f"the body's {encoding} is cut off")
            body = inflater.unused_data or b""
    except (zlib.error, zstd.ZstdError, RuntimeError) as error:
        raise DoorError(BAD_ARGUMENTS, f"the body is not {encoding}: {error}") from error
    if size > MAX_REQUEST_BYTES:
        raise DoorError(TOO_LARGE, f"the request is larger than {MAX_REQUEST_BYTES} bytes (TOO_MANY_BYTES)")
    return b"".join(parts)
