"""Writes OTLP's trace messages in protobuf's bytes, by hand.

google.protobuf makes an object of every attribute, which takes most of its time; here an attribute is a few bytes that
are joined. What its name and kind need is made once. Numbers and wire types are opentelemetry-proto's, which is stable.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

Value = str | int | float | bool | Sequence[str] | None
Values = tuple[Value, ...]

CLIENT: Final = 3  # SpanKind
OK, ERROR = 1, 2  # StatusCode
MOST_KEPT: Final = 4096
MOST_BLOCKS: Final = 2048
LARGEST_BLOCK: Final = 4096  # bytes: names that clients choose can be of any length

_FIXED: Final = struct.Struct("<sQsQ")
_DOUBLE: Final = struct.Struct("<d")


class Blocks(dict[Values, bytes]):
    """Parts of spans that come again and again, by the values that `write` makes them of: `blocks[values]`.

    In each place of the values stands one kind of value alone: as keys, a 1 and a true are the same.
    """

    def __init__(self, write: Callable[[Values], bytes]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, values: Values) -> bytes:
        block = self._write(values)
        if len(block) <= LARGEST_BLOCK:
            if len(self) >= MOST_BLOCKS:
                self.clear()  # the few that come often are soon there again
            self[values] = block
        return block


def write_name(name: str) -> bytes:
    """A span's name."""
    return _text(b"\x2a", name)


def write_facts(facts: Mapping[str, Value]) -> bytes:
    """Attributes of a span. Raises ValueError where a number does not fit."""
    parts: list[bytes] = []
    write_attributes(parts, b"\x4a", facts)
    return b"".join(parts)


def write_span(
    ids: tuple[bytes, bytes, bytes],
    times_ns: tuple[int, int],
    blocks: Sequence[bytes],
    facts: Mapping[str, Value],
    status: tuple[int, str] = (OK, ""),
) -> bytes:
    """One span of kind client, as a field of its scope. `ids` are trace, span and parent, `times_ns` since 1970.

    Its name is in one of `blocks`; `facts` are the attributes that are in none. Raises ValueError where a number does
    not fit.
    """
    trace_id, span_id, parent_id = ids
    try:
        times = _FIXED.pack(b"\x39", times_ns[0], b"\x41", times_ns[1])
    except struct.error as error:
        raise ValueError(f"no times of a span: {times_ns}") from error
    parts = [b"\x30\x03\x0a\x10", trace_id, b"\x12\x08", span_id]
    if parent_id:
        parts += (b"\x22\x08", parent_id)
    parts += (times, _write_status(*status), *blocks)
    write_attributes(parts, b"\x4a", facts)
    return _field(b"\x12", b"".join(parts))


def write_request(resource: Mapping[str, Value], scope: str, spans: Sequence[bytes]) -> bytes:
    """An export request of one resource and one scope, around what `write_span` wrote."""
    attributes: list[bytes] = []
    write_attributes(attributes, b"\x0a", resource)
    described = _field(b"\x0a", b"".join(attributes))
    named = _field(b"\x0a", _text(b"\x0a", scope))
    size = sum(map(len, spans))
    begun = described + _before(b"\x12", len(named) + size) + named
    return b"".join((_before(b"\x0a", len(begun) + size), begun, *spans))


def write_attributes(parts: list[bytes], tag: bytes, facts: Mapping[str, Value]) -> None:
    """Add each fact to `parts` as a key and a value in field `tag`. What is not known is left out.

    A nought and a false are known; None and what is empty are not. Texts that are no Unicode lose what is none.
    """
    for key, value in facts.items():
        if value is None:
            continue
        if isinstance(value, str):
            if value:
                text = value.encode("utf-8", "replace")
                parts += (_before_text(tag, key, len(text)), text)
        elif isinstance(value, float):
            parts += (_before_float(tag, key), _DOUBLE.pack(value))
        elif isinstance(value, bool):
            parts.append(_attribute(tag, key, b"\x10\x01" if value else b"\x10\x00"))
        elif isinstance(value, int):
            number = _VARINTS[value] if 0 <= value < len(_VARINTS) else _write_long(key, value)
            parts += (_before_int(tag, key, len(number)), number)
        elif value:
            items = b"".join(_field(b"\x0a", _text(b"\x0a", item)) for item in value)
            parts.append(_attribute(tag, key, _field(b"\x2a", items)))


def _write_long(key: str, value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{key}: no whole number of 64 bits")
    return _long_varint(value % 2**64)


@lru_cache(MOST_KEPT)
def _before_text(tag: bytes, key: str, size: int) -> bytes:
    """All of an attribute but its text, which has `size` bytes."""
    return _before_value(tag, key, _before(b"\x0a", size), size)


@lru_cache(MOST_KEPT)
def _before_int(tag: bytes, key: str, size: int) -> bytes:
    """All of an attribute but its number, which is a varint of `size` bytes."""
    return _before_value(tag, key, b"\x18", size)


@lru_cache(MOST_KEPT)
def _before_float(tag: bytes, key: str) -> bytes:
    """All of an attribute but the eight bytes of its number."""
    return _before_value(tag, key, b"\x21", _DOUBLE.size)


def _attribute(tag: bytes, key: str, value: bytes) -> bytes:
    return _before_value(tag, key, b"", len(value)) + value


def _before_value(tag: bytes, key: str, begun: bytes, size: int) -> bytes:
    """All of an attribute up to `begun`, with which its value begins and after which `size` bytes of it are left."""
    head = _text(b"\x0a", key) + _before(b"\x12", len(begun) + size) + begun
    return _before(tag, len(head) + size) + head


@lru_cache(64)
def _write_status(code: int, message: str) -> bytes:
    told = (_text(b"\x12", message) if message else b"") + b"\x18" + _varint(code)
    return _field(b"\x7a", told)


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(content)), content)


def _before(tag: bytes, size: int) -> bytes:
    return tag + _varint(size)


def _varint(number: int) -> bytes:
    return _VARINTS[number] if number < len(_VARINTS) else _long_varint(number)


def _long_varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


_VARINTS: Final = tuple(map(_long_varint, range(4096)))
