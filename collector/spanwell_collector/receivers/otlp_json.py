"""OTLP/JSON to the protobuf messages, along their descriptors.

protobuf's own json_format is forty times slower and reads ids as base64, where OTLP has them in hex.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from spanwell_collector.receivers.refusals import INVALID_ARGUMENT, RefusedError

MAX_DEPTH: Final = 90  # messages in messages; protobuf's own reader stops at 100
HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
DROPPED_ALONE: Final = frozenset({"Span", "LogRecord", "Metric"})  # one that nests too deep is left out by itself
URL_SAFE: Final = str.maketrans("-_", "+/")
INTEGERS: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_ENUM,
    }
)

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]


class Parsed(NamedTuple):
    """The message, and how many of its items were left out because their values nest too deep."""

    message: Message
    too_deep: int


class _Field(NamedTuple):
    name: str
    is_list: bool
    convert: Convert | None  # None: a message of its own
    dropped_alone: bool
    is_attribute: bool


class _TooDeepError(Exception):
    pass


class _WrongError(Exception):
    """What is wrong at `place`, which grows on the way out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.place = ""

    def within(self, key: str) -> "_WrongError":
        self.place = f"{key}.{self.place}" if self.place and not self.place.startswith("[") else key + self.place
        return self


def parse_json(body: bytes, request: type[Message]) -> Parsed:
    """Raises RefusedError, naming the place, when `body` is not the JSON of a `request`."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(INVALID_ARGUMENT, f"the body is not JSON: {error}") from error
    message, dropped = request(), [0]
    try:
        _fill(message, data, 1, dropped)
    except _WrongError as error:
        raise RefusedError(INVALID_ARGUMENT, f"{error.place or 'the body'}: {error.what}") from None
    except _TooDeepError:
        raise RefusedError(INVALID_ARGUMENT, f"a value nests deeper than {MAX_DEPTH} levels") from None
    return Parsed(message, dropped[0])


def _fill(message: Message, data: Any, depth: int, dropped: list[int]) -> None:
    if not isinstance(data, dict):
        raise _WrongError("an object is needed")
    if depth > MAX_DEPTH:
        raise _TooDeepError
    fields = _fields(message.DESCRIPTOR)
    for key, value in data.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        try:
            if field.is_list:
                _fill_list(getattr(message, field.name), field, value, depth, dropped)
            elif field.convert is None:
                part = getattr(message, field.name)
                part.SetInParent()
                _fill(part, value, depth + 1, dropped)
            else:
                setattr(message, field.name, field.convert(value))
        except _WrongError as error:
            raise error.within(key) from None
        except (ValueError, TypeError) as error:
            raise _WrongError(str(error)).within(key) from None


def _fill_list(target: Any, field: _Field, values: Any, depth: int, dropped: list[int]) -> None:
    if not isinstance(values, list):
        raise _WrongError("a list is needed")
    for index, value in enumerate(values):
        try:
            if field.convert is not None:
                target.append(field.convert(value))
            elif not (field.is_attribute and _add_text(target, value)):
                _fill(target.add(), value, depth + 1, dropped)
        except _WrongError as error:
            raise error.within(f"[{index}]") from None
        except _TooDeepError:
            if not field.dropped_alone:
                raise
            del target[-1]
            dropped[0] += 1


def _add_text(target: Any, pair: Any) -> bool:
    """The short way for what most attributes are: a key and a text."""
    if type(pair) is not dict or len(pair) != 2:
        return False
    key, value = pair.get("key"), pair.get("value")
    if type(key) is not str or type(value) is not dict or len(value) != 1:
        return False
    text = value.get("stringValue")
    if type(text) is not str:
        return False
    target.add(key=key).value.string_value = text
    return True


@cache
def _fields(descriptor: Descriptor) -> Mapping[str, _Field]:
    return {
        field.json_name: _Field(
            field.name,
            field.is_repeated,
            None if field.message_type else _converter(field),
            bool(field.message_type) and field.message_type.name in DROPPED_ALONE,
            bool(field.message_type) and field.message_type.name == "KeyValue",
        )
        for field in descriptor.fields
    }


def _converter(field: FieldDescriptor) -> Convert:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _read_hex if field.name in HEX_FIELDS else _read_base64
    if field.type in INTEGERS:
        return _read_integer
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _read_double
    return _read_bool if field.type == FieldDescriptor.TYPE_BOOL else _read_text


def _read_hex(value: Any) -> bytes:
    """An id that is no hex becomes an empty one, so that its span is left out and not the whole request."""
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""


def _read_base64(value: Any) -> bytes:
    """In either alphabet, padded or not."""
    try:
        text = value.translate(URL_SAFE).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError, AttributeError):
        raise _WrongError("base64 text is needed") from None


def _read_integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise _WrongError(f"{value[:40]!r} is no integer") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongError("an integer is needed, as a number or as text")
    return value


def _read_double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _WrongError("a number is needed")
    try:
        return float(value)
    except ValueError:
        raise _WrongError(f"{str(value)[:40]!r} is no number") from None


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongError("true or false is needed")
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError("text is needed")
    return value
