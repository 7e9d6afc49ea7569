"""The texts of a request, whatever its API calls them. Hostile input: nothing is assumed of its shape."""

from collections.abc import Iterator, Mapping
from typing import Any

LISTS = ("messages", "input")
PARTS = ("text", "input_text", "output_text")


def read_turns(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(role, text) in the order in which a model reads them; an empty role where none is said."""
    for key in ("system", "instructions"):
        if text := _text_of(request.get(key)):
            yield "system", text
    for key in ("messages", "input", "prompt", "query"):
        value = request.get(key)
        if isinstance(value, str):
            yield "user", value
        for item in value if isinstance(value, list) else ():
            if isinstance(item, str):
                yield "user", item
            elif isinstance(item, dict):
                role = item.get("role")
                yield (role if isinstance(role, str) else ""), _text_of(item.get("content"))


def has_media(request: Mapping[str, Any]) -> bool:
    """Whether any message holds something that is not text."""
    for key in LISTS:
        value = request.get(key)
        for item in value if isinstance(value, list) else ():
            parts = item.get("content") if isinstance(item, dict) else None
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, dict) and _is_media(part.get("type")):
                    return True
    return False


def _is_media(kind: Any) -> bool:
    return isinstance(kind, str) and kind.startswith(
        ("image", "input_image", "input_audio", "audio", "file", "document")
    )


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") in PARTS)
    return "\n".join(text for text in texts if isinstance(text, str))
