"""Writes OTLP's trace messages in protobuf's bytes, by hand.

google.protobuf makes an object of every attribute, which takes most of its time; here an attribute is a few bytes that
are joined. What its name and kind need is made once. Numbers and wire types are opentelemetry-proto's, which is stable.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

Value = str | int | float | bool | Sequence[str] | None

CLIENT: Final = 3  # SpanKind
OK, ERROR = 1, 2  # StatusCode
SHORT: Final = 31  # characters: texts up to here often come again, and are kept as written; ids are longer
MOST_KEPT: Final = 4096

_FIXED: Final = struct.Struct("<sQsQ")
_DOUBLE: Final = struct.Struct("<d")


def write_span(
    ids: tuple[bytes, bytes, bytes],
    name: str,
    times_ns: tuple[int, int],
    attributes: Mapping[str, Value],
    status: tuple[int, str] = (OK, ""),
) -> bytes:
    """One span of kind client, as a field of its scope. `ids` are trace, span and parent, `times_ns` since 1970.

    Raises ValueError where a number does not fit.
    """
    trace_id, span_id, parent_id = ids
    code, message = status
    try:
        times = _FIXED.pack(b"\x39", times_ns[0], b"\x41", times_ns[1])
    except struct.error as error:
        raise ValueError(f"no times of a span: {times_ns}") from error
    parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
    if parent_id:
        parts += (b"\x22\x08", parent_id)
    parts += (_text(b"\x2a", name), b"\x30\x03", times)
    write_attributes(parts, b"\x4a", attributes)
    told = (_text(b"\x12", message) if message else b"") + b"\x18" + _varint(code)
    parts.append(_field(b"\x7a", told))
    return _field(b"\x12", b"".join(parts))


def write_request(resource: Mapping[str, Value], scope: str, spans: Sequence[bytes]) -> bytes:
    """An export request of one resource and one scope, around what `write_span` wrote."""
    attributes: list[bytes] = []
    write_attributes(attributes, b"\x0a", resource)
    named = _field(b"\x0a", _text(b"\x0a", scope))
    scoped = _field(b"\x12", b"".join((named, *spans)))
    return _field(b"\x0a", _field(b"\x0a", b"".join(attributes)) + scoped)


def write_attributes(parts: list[bytes], tag: bytes, facts: Mapping[str, Value]) -> None:
    """Add each fact to `parts` as a key and a value in field `tag`. What is not known is left out.

    A nought and a false are known; None and what is empty are not. Texts that are no Unicode lose what is none.
    """
    add = parts.append
    for key, value in facts.items():
        if value is None:
            continue
        if isinstance(value, str):
            if value:
                add(_kept_text(tag, key, value) if len(value) <= SHORT else _text_attribute(tag, key, value))
        elif isinstance(value, bool):
            add(_kept_flag(tag, key, value))
        elif isinstance(value, int):
            add(_kept_int(tag, key, value))
        elif isinstance(value, float):
            add(_before_float(tag, key) + _DOUBLE.pack(value))
        elif value:
            items = b"".join(_field(b"\x0a", _text(b"\x0a", item)) for item in value)
            add(_attribute(tag, key, _field(b"\x2a", items)))


def _text_attribute(tag: bytes, key: str, value: str) -> bytes:
    return _attribute(tag, key, _text(b"\x0a", value))


def _int_attribute(tag: bytes, key: str, value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{key}: no whole number of 64 bits")
    return _attribute(tag, key, b"\x18" + _varint(value % 2**64))


def _flag_attribute(tag: bytes, key: str, value: bool) -> bytes:
    return _attribute(tag, key, b"\x10\x01" if value else b"\x10\x00")


_kept_text = lru_cache(MOST_KEPT)(_text_attribute)
_kept_int = lru_cache(MOST_KEPT)(_int_attribute)
_kept_flag = lru_cache(MOST_KEPT)(_flag_attribute)


@lru_cache(MOST_KEPT)
def _before_float(tag: bytes, key: str) -> bytes:
    """All of an attribute but the eight bytes of its number."""
    return _attribute(tag, key, b"\x21" + bytes(8))[:-8]


def _attribute(tag: bytes, key: str, value: bytes) -> bytes:
    head = _key(key)
    size = _varint(len(value))
    return b"%b%b%b%b%b" % (tag, _varint(len(head) + len(size) + len(value)), head, size, value)


@lru_cache(MOST_KEPT)
def _key(key: str) -> bytes:
    """The field `key`, and the tag of the field `value` behind it."""
    return _text(b"\x0a", key) + b"\x12"


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(content)), content)


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
