"""Turns the host's values into bounded, masked JSON text, without calling the host's code: no repr, no str.

What has no plain form is named by its type: the repr of a table can take longer than the call that is traced.
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PosixPath, PurePosixPath
from typing import Any
from uuid import UUID

from spanwell.masking import MASK, mask_secrets

MAX_CHARS = 32 * 1024  # of one payload
MAX_ITEMS = 256  # of one container
MAX_DEPTH = 8
MAX_INT = 2**63  # what protobuf's int64 holds
MAX_BITS = 10_000  # longer integers Python refuses to write as decimals
SMALL_ITEMS = 100
NODE_COST = 8  # characters that a value costs beside its text
SECRET_NAMES = frozenset(
    ("api_key", "apikey", "x-api-key", "authorization", "password", "passwd", "secret", "token", "access_token")
)
JSON_SCALARS = frozenset((type(None), bool, int, float))
JSON_CONTAINERS = frozenset((list, tuple, dict))
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
WRITTEN_AS_TEXT = frozenset((Decimal, UUID, datetime, date, time, timedelta, PosixPath, PurePosixPath))
FIELD_LISTS = ("__dataclass_fields__", "__pydantic_fields__", "__attrs_attrs__")

Scalar = bool | int | float | str


def to_text(value: object) -> str:
    """Masked JSON text of `value`, about MAX_CHARS long at most."""
    try:
        if is_small_and_plain(value):
            return dump(value)
    except (TypeError, ValueError):  # a key that is no text, a float that is no number
        pass
    return dump(_Copier().copy(value, MAX_DEPTH))


def dump(plain: Any) -> str:
    """Masked JSON text of a value that json can write."""
    return clean(mask_secrets(ENCODER.encode(plain)))


def is_small_and_plain(value: Any) -> bool:
    """Whether json may write `value` as it stands: most arguments, at a third of the cost. TypeError for odd keys."""
    room, found = MAX_CHARS, [value]
    for item in found:  # grows by what it finds
        kind = type(item)
        if kind is str:
            room -= len(item)
        elif kind in JSON_CONTAINERS:
            if len(found) + len(item) > SMALL_ITEMS or room < 0:
                return False
            if kind is dict:
                if not SECRET_NAMES.isdisjoint(map(str.lower, item)):
                    return False
                item = item.values()
            found.extend(item)
        elif kind not in JSON_SCALARS:
            return False
    return room >= 0


def clean(text: str) -> str:
    """`text` without lone surrogates: one of them makes a whole batch impossible to encode."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def to_attribute(value: object) -> Scalar:
    """A span attribute: a scalar as it is, anything else as JSON text."""
    kind = type(value)
    if kind is str:
        return clean(mask_secrets(cut(value, MAX_CHARS)))  # type: ignore[arg-type]
    if kind is bool or kind is float or (kind is int and abs(value) < MAX_INT):  # type: ignore[arg-type]
        return value  # type: ignore[return-value]
    return to_text(value)


def cut(text: str, room: int) -> str:
    """At most `room` characters of `text`, and how many are missing."""
    return text if len(text) <= room else f"{text[:room]}… and {len(text) - room} more characters"


class _Copier:
    """Copies values into plain ones, within a budget of characters."""

    def __init__(self) -> None:
        self._room = MAX_CHARS

    @property
    def is_full(self) -> bool:
        return self._room <= 0

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self._room -= NODE_COST
        if kind is str:
            text = cut(value, max(self._room, 0))
            self._room -= len(text)
            return text
        if value is None or kind is bool:
            return value
        if kind is int or kind is float:
            return _number(value)
        if depth == 0 or self.is_full:
            return name_of(kind)
        return self._copy_container(value, kind, depth - 1)

    def _copy_container(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, dict):
            return self._copy_pairs(dict.items(value), dict.__len__(value), depth)
        if (fields := _fields(value, kind)) is not None:
            return self._copy_pairs(fields.items(), len(fields), depth)
        for base in (list, tuple, set, frozenset):
            if issubclass(kind, base):
                items, count = base.__iter__(value), base.__len__(value)
                copied = [self.copy(item, depth) for item in islice(items, MAX_ITEMS)]
                return copied if count <= MAX_ITEMS else [*copied, f"… and {count - MAX_ITEMS} more"]
        return _leaf(value, kind)

    def _copy_pairs(self, pairs: Iterable[tuple[Any, Any]], count: int, depth: int) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key, value in islice(pairs, MAX_ITEMS):
            name = key if type(key) is str else str(_leaf(key, type(key)))
            copied[cut(name, MAX_ITEMS)] = MASK if name.lower() in SECRET_NAMES else self.copy(value, depth)
        if count > MAX_ITEMS:
            copied["…"] = f"and {count - MAX_ITEMS} more"
        return copied


class Stream:
    """What a generator yielded, copied item by item until the budget of one payload is spent."""

    def __init__(self) -> None:
        self._copier = _Copier()
        self._items: list[Any] = []
        self._left_out = 0

    def add(self, item: object) -> None:
        if self._copier.is_full:
            self._left_out += 1
        else:
            self._items.append(self._copier.copy(item, MAX_DEPTH))

    def to_text(self) -> str:
        """Masked JSON text: one string if all items were strings, as a model's tokens are; else a list."""
        more = [f"… and {self._left_out} more"] if self._left_out else []
        if self._items and all(type(item) is str for item in self._items):
            return dump("".join(self._items + more))
        return dump(self._items + more)


def name_of(kind: type) -> str:
    """`<module.Name>`, the stand-in for a value that is not shown."""
    return f"<{kind.__qualname__}>" if kind.__module__ == "builtins" else f"<{kind.__module__}.{kind.__qualname__}>"


def _number(value: int | float) -> int | float | str:
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    return value if value.bit_length() < MAX_BITS else f"<int of {value.bit_length()} bits>"


def _leaf(value: Any, kind: type) -> Scalar | None:
    if kind in (str, bool, int, float, type(None)):
        return _number(value) if kind in (int, float) else value
    if kind in WRITTEN_AS_TEXT:
        return str(value)
    if issubclass(kind, Enum):
        return f"{kind.__qualname__}.{value._name_}"
    if kind in (bytes, bytearray, memoryview):
        return f"<{len(value)} bytes>"
    return name_of(kind)


def _fields(value: Any, kind: type) -> Mapping[str, Any] | None:
    """The fields of a dataclass, pydantic model, attrs class or named tuple, read without running its code."""
    if issubclass(kind, tuple) and (names := getattr(kind, "_fields", None)) is not None:
        return dict(zip(names, tuple.__iter__(value), strict=False))
    if not any(hasattr(kind, name) for name in FIELD_LISTS):
        return None
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:  # slots: each field is a descriptor of its own
        return {name: object.__getattribute__(value, name) for name in getattr(kind, "__slots__", ())}
