"""Reads OpenAI-style message lists as the spans carry them: JSON text, written by anyone. Never raises."""

import json
from typing import Any


def last_user_text(messages: str) -> str:
    """What the user asked last; the whole text where it is no message list."""
    parsed = _parse(messages)
    if parsed is None:
        return well_formed(messages).strip()
    texts = [_text(message) for message in parsed if message.get("role") == "user"]
    return well_formed(texts[-1]).strip() if texts else ""


def readable(messages: str) -> str:
    """The messages as `role: text` blocks, tool calls included; the text itself where it is no message list."""
    parsed = _parse(messages)
    if parsed is None:
        return well_formed(messages)
    blocks = [f"{message.get('role', 'unknown')}: {_text(message)}{_tool_calls(message)}" for message in parsed]
    return well_formed("\n\n".join(blocks))


def well_formed(text: str) -> str:
    """The text without lone surrogates, which JSON may smuggle in and which no HTTP body can carry."""
    return text.encode("utf-8", "replace").decode()


def _parse(messages: str) -> list[dict[str, Any]] | None:
    try:
        parsed = json.loads(messages)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, list) or not all(isinstance(message, dict) for message in parsed):
        return None
    return parsed


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _tool_calls(message: dict[str, Any]) -> str:
    calls = message.get("tool_calls")
    return f"\ntool calls: {json.dumps(calls, ensure_ascii=False)}" if calls else ""
