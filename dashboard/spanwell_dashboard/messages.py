"""The prompt and the completion of a span as blocks to show. The text stays text: hostile, and never Markdown."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from spanwell_dashboard.untrusted import fold_blobs, plain

Role = Literal["system", "user", "assistant", "tool", "other"]
KNOWN_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class Block(NamedTuple):
    """One turn: who speaks (`role` decides the look, `title` is what was written there), and what."""

    role: Role
    title: str
    text: str
    is_json: bool = False


def blocks(text: str) -> list[Block]:
    """What `text` says: a list of messages, or any JSON value, or just text; empty text gives no block."""
    if not text:
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [Block("other", "text", _shown(text))]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "role" in item for item in value):
        return [block for message in value for block in _message(message)]
    if isinstance(value, str):
        return [Block("other", "text", _shown(value))]
    return [Block("other", "value", _pretty(value), is_json=True)]


def _message(message: Mapping[str, Any]) -> Iterable[Block]:
    title = plain(message["role"], 40)
    role = KNOWN_ROLES.get(title.lower(), "other")
    if name := message.get("name"):
        title = f"{title} · {plain(name, 40)}"
    parts = [part for key in ("reasoning_content", "content", "parts") for part in _parts(message.get(key))]
    calls = message.get("tool_calls") or []
    if parts:
        yield Block(role, title, _shown("\n".join(parts)))
    elif not calls:
        yield Block(role, title, _pretty(message), is_json=True)
    yield from map(_tool_call, calls if isinstance(calls, list) else [calls])


def _parts(content: Any) -> list[str]:
    """Text of a message's content: a string, or a list of typed parts (OpenAI's or OpenTelemetry's)."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [text for part in content for text in _parts(_part(part))]
    return [_pretty(content)]


def _part(part: Any) -> Any:
    if isinstance(part, dict):
        for key in ("text", "content"):
            if isinstance(part.get(key), str):
                return part[key]
        return _pretty(part)
    return part


def _tool_call(call: Any) -> Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return Block("tool", "tool call", _pretty(call), is_json=True)
    arguments = function.get("arguments") or ""
    try:
        body, is_json = _pretty(json.loads(arguments)), True
    except (ValueError, TypeError, RecursionError):
        body, is_json = _shown(str(arguments)), False
    return Block("tool", f"calls {plain(function.get('name'), 60)}", body, is_json)


def _pretty(value: Any) -> str:
    return _shown(json.dumps(value, indent=2, ensure_ascii=False))


def _shown(text: str) -> str:
    return plain(fold_blobs(text))
