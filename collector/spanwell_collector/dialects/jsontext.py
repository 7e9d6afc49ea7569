"""JSON inside attributes: read where it is JSON, written so that the engine can read it."""

import json
from typing import Any

import orjson


def undo_json(value: Any) -> Any:
    """What JSON text stands for; any other value, and text that is no JSON object, list or string, as it is."""
    if not isinstance(value, str) or not value.startswith(('{"', "{}", "[", '"', "{\n", "{ ")):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


def to_json(value: Any) -> str:
    """`value` as JSON text. What JSON cannot hold becomes text of its own; what nests beyond reason becomes ''."""
    try:
        return orjson.dumps(value, default=repr).decode()
    except TypeError:  # half a surrogate pair, an integer that is too long, or too many levels
        pass
    try:
        return json.dumps(value, default=repr)
    except RecursionError:
        return ""


def to_text(value: Any) -> str:
    """Text as it is, everything else as JSON."""
    return value if isinstance(value, str) else to_json(value)
