"""The prompt and the completion of a span as blocks to show. The text stays text: hostile, and never Markdown."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from spanwell.messages import to_messages
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
    if value and (messages := to_messages(value)):
        return [block for message in messages for block in _message(message)]
    if isinstance(value, str):
        return [Block("other", "text", _shown(value))]
    return [Block("other", "value", _pretty(value), is_json=True)]


def _message(message: Mapping[str, Any]) -> Iterable[Block]:
    title = plain(message["role"], 40)
    role = KNOWN_ROLES.get(title.lower(), "other")
    if name := message.get("name"):
        title = f"{title} · {plain(name, 40)}"
    told = [_told(part) for part in message["parts"] if part["type"] != "tool_call"]
    calls = [part for part in message["parts"] if part["type"] == "tool_call"]
    if not told and not calls:
        yield Block(role, title, _pretty(message), is_json=True)
    if told:
        yield Block(role, title, _shown("\n".join(told)))
    yield from map(_tool_call, calls)


def _told(part: Mapping[str, Any]) -> str:
    """What a part says; one that is no text is shown whole."""
    said = part.get("response" if part["type"] == "tool_call_response" else "content")
    if isinstance(said, str):
        return said
    return _pretty(part if said is None else said)


def _tool_call(part: Mapping[str, Any]) -> Block:
    title = f"calls {plain(part['name'], 60)}"
    arguments = part["arguments"]
    if isinstance(arguments, str):
        return Block("tool", title, _shown(arguments))
    return Block("tool", title, _pretty(arguments), is_json=True)


def _pretty(value: Any) -> str:
    return _shown(json.dumps(value, indent=2, ensure_ascii=False))


def _shown(text: str) -> str:
    return plain(fold_blobs(text))
