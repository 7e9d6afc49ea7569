"""How long the spans of a serialized request are, read off its bytes: asking each span makes it be written again."""

from collections.abc import Iterator
from typing import Final

RESOURCE_SPANS, SCOPE_SPANS, SPANS = 0x0A, 0x12, 0x12  # tags, each of one byte
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WIDTHS: Final = {FIXED64: 8, FIXED32: 4}


def find_longest_span(payload: bytes) -> int:
    """Bytes of the longest span, or more: all of the request's where it is written in a way that nobody writes.

    `payload` has been parsed as an ExportTraceServiceRequest before.
    """
    try:
        return max(
            (
                end - begin
                for source in _list_fields(payload, (0, len(payload)), RESOURCE_SPANS)
                for scope in _list_fields(payload, source, SCOPE_SPANS)
                for begin, end in _list_fields(payload, scope, SPANS)
            ),
            default=0,
        )
    except (KeyError, IndexError):
        return len(payload)


def _list_fields(payload: bytes, within: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Where the contents of the fields with this tag begin and end. Raises KeyError for a group."""
    at, end = within
    while at < end:
        tag, at = _read_varint(payload, at)
        kind = tag & 7
        if kind == LENGTH:
            length, at = _read_varint(payload, at)
            if tag == wanted:
                yield at, at + length
            at += length
        elif kind == VARINT:
            _, at = _read_varint(payload, at)
        else:
            at += WIDTHS[kind]


def _read_varint(payload: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next byte is."""
    byte = payload[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while True:
        at += 1
        byte = payload[at]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at + 1
        shift += 7
