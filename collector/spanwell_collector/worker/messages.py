"""Reads messages as the store keeps them: JSON text of `{role, parts}`, or whatever somebody sent. Never raises."""

import json
from collections.abc import Iterator
from typing import Any

from spanwell.messages import to_messages


def last_user_text(messages: str) -> str:
    """What the user asked last; the whole text where it is no message list."""
    parsed = _parse(messages)
    if parsed is None:
        return well_formed(messages).strip()
    texts = [_text(message) for message in parsed if message["role"] == "user"]
    return well_formed(texts[-1]).strip() if texts else ""


def readable(messages: str) -> str:
    """The messages as `role: text` blocks, tool calls included; the text itself where it is no message list."""
    parsed = _parse(messages)
    if parsed is None:
        return well_formed(messages)
    blocks = [f"{message['role']}: {_text(message)}{_tool_calls(message)}" for message in parsed]
    return well_formed("\n\n".join(blocks))


def well_formed(text: str) -> str:
    """The text without lone surrogates, which JSON may smuggle in and which no HTTP body can carry."""
    return text.encode("utf-8", "replace").decode()


def _parse(messages: str) -> list[dict[str, Any]] | None:
    try:
        return to_messages(json.loads(messages))
    except (ValueError, RecursionError):
        return None


def _text(message: dict[str, Any]) -> str:
    return "\n".join(_texts(message["parts"]))


def _texts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        if part["type"] == "tool_call_response":
            response = part["response"]
            yield response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
        elif part["type"] != "tool_call" and isinstance(part.get("content"), str):
            yield part["content"]


def _tool_calls(message: dict[str, Any]) -> str:
    calls = [
        {key: part[key] for key in ("name", "arguments")} for part in message["parts"] if part["type"] == "tool_call"
    ]
    return f"\ntool calls: {json.dumps(calls, ensure_ascii=False)}" if calls else ""
