"""OTLP's attributes as Python's own values, and back: only what changed is written."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Attributes = dict[str, Any]

DEEPEST: Final = 32  # lists in lists: an honest message needs eight
LARGEST_INT: Final = (1 << 63) - 1
ABSENT: Final = object()


def read_value(value: AnyValue, depth: int = 0) -> Any:
    """Text, number, boolean, bytes, list, dictionary, or None where nothing is set."""
    if text := value.string_value:
        return text
    kind = value.WhichOneof("value")
    if kind is None or depth > DEEPEST:
        return None
    if kind == "array_value":
        return [read_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: read_value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def read_attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """By name. A name that comes twice, which the protocol forbids, has the value that came last."""
    return {pair.key: pair.value.string_value or read_value(pair.value) for pair in pairs}


def write_attributes(pairs: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Make `pairs`, which read as `before`, read as `after`, where no value that differs is a list or a dictionary."""
    changed = {name: value for name, value in after.items() if before.get(name, ABSENT) is not value}
    if len(changed) + len(before) > len(after) or len(pairs) != len(before):
        _remove(pairs, {name for name in after if name not in changed})
    for name, value in changed.items():
        _write_value(pairs.add(key=name).value, value)


def take_out(events: Any, is_told: Callable[[str], bool]) -> None:
    """Take the events out whose names are told. One by one it would take as long as they are many, squared."""
    kept = [event for event in events if not is_told(event.name)]
    if len(kept) < len(events):
        del events[:]
        events.extend(kept)


def _remove(pairs: Any, kept: set[str]) -> None:
    """From the end, where it costs least. Of a name that comes twice the last one stays, as it was read."""
    kept = set(kept)
    for index in range(len(pairs) - 1, -1, -1):
        name = pairs[index].key
        if name in kept:
            kept.discard(name)
        else:
            del pairs[index]


def _write_value(target: AnyValue, value: Any) -> None:
    if isinstance(value, str):
        target.string_value = value.encode("utf-8", "replace").decode()
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and abs(value) <= LARGEST_INT:
        target.int_value = value
    elif isinstance(value, int):
        target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
