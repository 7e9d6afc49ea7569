"""Walks the texts of requests and answers of every API, and rewrites them. What is unchanged stays the same object.

A text is whatever people or models wrote: messages, prompts, tool calls with their results. What names or addresses
something (types, ids, URLs, base64) is none, and is never touched.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

ASKED: Final = ("system", "instructions", "messages", "input", "prompt", "suffix", "query", "documents", "prediction")
ANSWERED: Final = ("choices", "content", "output", "output_text", "text", "segments", "words", "results")
# fmt: off
NO_TEXTS: Final = frozenset((
    "type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "item_id", "url", "image_url", "data", "file_data",
    "media_type", "mime_type", "format", "detail", "file_id", "signature", "encrypted_content", "cache_control",
    "status", "finish_reason", "stop_reason", "stop_sequence", "logprobs", "b64_json", "index", "object", "model",
    "name", "namespace", "input_audio", "usage",
))
# fmt: on
TOOL_USES: Final = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))


class Place(NamedTuple):
    """Who wrote a text; and whether it is JSON inside a string, as arguments of tool calls are."""

    role: str
    is_json: bool = False


class Text(NamedTuple):
    """One text and its place."""

    text: str
    place: Place


Change = Callable[[str, Place], str]


def change_request(request: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """`request` with its texts changed; the same object where none was."""
    return _change_roots(request, ASKED, "user", change)


def change_answer(document: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The same for a whole answer. Log probabilities name its tokens, so they go where a text was changed."""
    changed = _change_roots(document, ANSWERED, "assistant", change)
    if changed is document or not isinstance(changed.get("choices"), list):
        return changed
    choices = [
        {**one, "logprobs": None} if isinstance(one, dict) and one.get("logprobs") else one
        for one in changed["choices"]
    ]
    return {**changed, "choices": choices}


def list_asked(request: Mapping[str, Any]) -> list[Text]:
    """The texts of a request, in their order."""
    return _list(lambda take: change_request(request, take))


def list_answered(document: Mapping[str, Any]) -> list[Text]:
    """The texts of a whole answer."""
    return _list(lambda take: change_answer(document, take))


def list_texts(value: Any) -> list[Text]:
    """The texts of a message or of a list of them."""
    return _list(lambda take: _change(value, "user", take))


def _list(walk: Callable[[Change], Any]) -> list[Text]:
    texts: list[Text] = []

    def take(text: str, place: Place) -> str:
        texts.append(Text(text, place))
        return text

    walk(take)
    return texts


def _change_roots(document: Mapping[str, Any], roots: tuple[str, ...], role: str, change: Change) -> dict[str, Any]:
    changes = {}
    for key in roots:
        if value := document.get(key):
            changed = _change(value, "system" if key in ("system", "instructions") else role, change)
            if changed is not value:
                changes[key] = changed
    if changes:
        return {**document, **changes}
    return document if isinstance(document, dict) else dict(document)


def _change(value: Any, role: str, change: Change, *, inside: bool = False) -> Any:
    """`inside` a message nothing says any more who speaks: a part of a user's could call itself the system's."""
    if isinstance(value, str):
        return change(value, Place(role))
    if isinstance(value, list):
        items = [
            _change(item, role, change, inside=inside) if isinstance(item, str | dict | list) else item
            for item in value
        ]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        return _change_object(value, role, change, inside=inside)
    return value


def _change_object(value: dict[str, Any], role: str, change: Change, *, inside: bool) -> dict[str, Any]:
    speaker, kind = value.get("role"), value.get("type")
    if isinstance(speaker, str) and not inside:
        role, inside = speaker, True
    elif "tool_result" in str(kind):
        role = "tool"
    changes = {}
    for key, item in value.items():
        if not isinstance(item, str | list | dict) or (key in NO_TEXTS and not (key == "data" and kind == "text")):
            continue
        if key == "arguments" and isinstance(item, str):
            changed: Any = _change_json(item, role, change)
        elif key == "input" and str(kind) in TOOL_USES:
            changed = change_all(item, lambda text: change(text, Place(role)))
        else:
            changed = _change(item, role, change, inside=inside)
        if changed is not item:
            changes[key] = changed
    return {**value, **changes} if changes else value


def _change_json(text: str, role: str, change: Change) -> str:
    """Arguments as they stand, unless something in them is escaped: then a text could hide from who looks at it."""
    if "\\" not in text:
        return change(text, Place(role, is_json=True))
    try:
        document = orjson.loads(text)
    except ValueError:
        return change(text, Place(role, is_json=True))
    changed = change_all(document, lambda inner: change(inner, Place(role)))
    return text if changed is document else orjson.dumps(changed).decode()


def change_all(value: Any, change: Callable[[str], str]) -> Any:
    """Every string of a value of JSON, whatever its key; the same object where none was changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        items = [change_all(item, change) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        pairs = {key: change_all(item, change) for key, item in value.items()}
        return value if all(pairs[key] is value[key] for key in value) else pairs
    return value


def list_spoken(document: Mapping[str, Any]) -> list[str]:
    """What each choice of an answer says to the user; thoughts and calls of tools aside."""
    spoken = []
    for choice in _objects(document.get("choices")):
        message = choice.get("message")
        said = message.get("content") if isinstance(message, dict) else choice.get("text")
        spoken.append(said if isinstance(said, str) else _join([said]))
    spoken.append(_join(_objects(document.get("content"))))
    outputs = [item for item in _objects(document.get("output")) if item.get("type") == "message"]
    spoken.append(_join([part for item in outputs for part in _objects(item.get("content"))]))
    return [text for text in spoken if text]


def _join(parts: list[Any]) -> str:
    kinds = ("text", "output_text")
    return "".join(str(part["text"]) for part in parts if isinstance(part, dict) and part.get("type") in kinds)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
