"""Chat messages in the one shape that is stored: OpenTelemetry's `{role, parts}`, whatever API they were written for.

Parts are `{"type": "text" | "reasoning", "content"}`, `{"type": "tool_call", "id", "name", "arguments"}`,
`{"type": "tool_call_response", "id", "response"}`, `{"type": "uri", "modality", "uri"}`,
`{"type": "blob", "modality", "mime_type", "digest", "bytes"}`; what is none of these keeps its own keys under its own
type. Media travels as base64 and is not worth its space in a store: of a blob the digest and the length are kept.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Part = dict[str, Any]
Message = dict[str, Any]

TEXT_KEYS: Final = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text"), "text"),
    "refusal": "refusal",
}
PLAIN: Final = frozenset(("role", "content", "name", "finish_reason"))  # of a message that is text and no more
REASONING_KEYS: Final = ("reasoning_content", "reasoning")
TOOL_CALL_IDS: Final = ("call_id", "id", "toolCallId")
ARGUMENTS: Final = ("arguments", "input", "args")
ANSWERED_IDS: Final = ("tool_use_id", "call_id", "id", "toolCallId")
TOOL_RESPONSES: Final = ("tool_call_response", "tool_result", "tool-result")
UNTYPED: Final = {
    **dict.fromkeys(("functionCall", "function_call"), "tool_call"),
    **dict.fromkeys(("functionResponse", "function_response"), "tool_call_response"),
    **dict.fromkeys(("inlineData", "inline_data"), "blob"),
}
"""Gemini's parts have no type, but a key that says it."""


def to_message(message: Mapping[str, Any]) -> Message:
    """`message` of OpenAI's, Anthropic's, Gemini's or Vercel's shape, or of ours already, as `{role, parts}`.

    Its name and end reason stay.
    """
    role, content = message.get("role"), message.get("content")
    is_text = isinstance(content, str) and role != "tool" and message.keys() <= PLAIN  # most are
    parts = [{"type": "text", "content": content}] if is_text else _read_all(message)
    made: Message = {"role": role or "user", "parts": parts}
    if len(message) > 2:
        for key in ("name", "finish_reason"):
            if isinstance(message.get(key), str):
                made[key] = message[key]
    return made


def to_messages(value: Any) -> list[Message] | None:
    """A list of messages in the one shape; None where `value` is no list of messages."""
    if not isinstance(value, list):
        return None
    messages = []
    for item in value:
        if not isinstance(item, dict | Mapping) or "role" not in item:
            return None
        messages.append(to_message(item))
    return messages


def _read_all(message: Mapping[str, Any]) -> list[Part]:
    parts = message.get("parts")
    return [_read_part(part) for part in parts] if isinstance(parts, list) else list(_read_parts(message))


def _read_parts(message: Mapping[str, Any]) -> Iterator[Part]:
    for key in REASONING_KEYS:
        if isinstance(message.get(key), str) and message[key]:
            yield {"type": "reasoning", "content": message[key]}
            break
    content = message.get("content")
    if message.get("role") == "tool" and not _has_tool_response(content):
        yield {"type": "tool_call_response", "id": message.get("tool_call_id", ""), "response": _plain(content)}
    elif isinstance(content, str):
        if content or not message.get("tool_calls"):
            yield {"type": "text", "content": content}
    elif isinstance(content, list):
        yield from map(_read_part, content)
    elif content is not None:
        yield {"type": "generic", "content": content}
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        yield {"type": "refusal", "content": message["refusal"]}
    calls = message.get("tool_calls")
    yield from map(_read_tool_call, calls if isinstance(calls, list) else ())


def _read_part(part: Any) -> Part:
    if not isinstance(part, Mapping):
        return {"type": "text", "content": part if isinstance(part, str) else _plain(part)}
    if "type" not in part:
        part = _with_type(part)
    kind = part.get("type")
    read = READERS.get(kind) if isinstance(kind, str) else None
    return read(part) if read else {"type": "generic", **part}


def _with_type(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(part.get("text"), str):
        return {**part, "type": "reasoning" if part.get("thought") is True else "text"}
    key = next((key for key in UNTYPED if isinstance(part.get(key), Mapping)), None)
    return {**part[key], "type": UNTYPED[key]} if key else part


def _has_tool_response(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, Mapping) and part.get("type") in TOOL_RESPONSES for part in content
    )


def _read_text(part: Mapping[str, Any]) -> Part:
    kind = "refusal" if part["type"] == "refusal" else "text"
    return {"type": kind, "content": part.get(TEXT_KEYS[part["type"]], part.get("content", ""))}


def _read_reasoning(part: Mapping[str, Any]) -> Part:
    return {"type": "reasoning", "content": _plain(_first(part, ("thinking", "content", "text", "summary"), ""))}


def _read_tool_call(call: Any) -> Part:
    if not isinstance(call, Mapping):
        return {"type": "generic", "content": call}
    function = call.get("function")
    named = function if isinstance(function, Mapping) else call
    return {
        "type": "tool_call",
        "id": _first(call, TOOL_CALL_IDS, ""),
        "name": _first(named, ("name", "toolName"), ""),
        "arguments": _undo_json(next((named[key] for key in ARGUMENTS if key in named), None)),
    }


def _read_tool_response(part: Mapping[str, Any]) -> Part:
    response = next((part[key] for key in ("response", "content", "output", "result") if key in part), "")
    if part["type"] == "tool-result" and isinstance(response, Mapping):
        response = response.get("value", response)
    return {"type": "tool_call_response", "id": _first(part, ANSWERED_IDS, ""), "response": _plain(response)}


def _read_image_url(part: Mapping[str, Any]) -> Part:
    image = part.get("image_url")
    return _read_url(image.get("url") if isinstance(image, Mapping) else image, "image")


def _read_audio(part: Mapping[str, Any]) -> Part:
    audio = part.get("input_audio")
    if not isinstance(audio, Mapping):
        return {"type": "generic", "content": audio}
    return to_blob(str(audio.get("data", "")), "audio", f"audio/{audio.get('format', 'wav')}")


def _read_source(part: Mapping[str, Any]) -> Part:
    source, modality = part.get("source"), "image" if part["type"] == "image" else "document"
    if not isinstance(source, Mapping):
        return _read_file(part)
    if isinstance(source.get("data"), str) and source.get("type") == "base64":
        return to_blob(source["data"], modality, str(source.get("media_type", "")))
    if "url" in source:
        return _read_url(source["url"], modality)
    return {"type": "generic", **part}


def _read_file(part: Mapping[str, Any]) -> Part:
    file = part["file"] if isinstance(part.get("file"), Mapping) else part
    data, mime_type = (
        _first(file, ("file_data", "data", "image"), None),
        str(_first(file, ("mediaType", "mimeType"), "")),
    )
    if not isinstance(data, str):
        return {"type": "generic", **part}
    if ":" in data[:8]:
        return _read_url(data, mime_type.partition("/")[0])
    return to_blob(data, mime_type.partition("/")[0], mime_type)


def _read_blob(part: Mapping[str, Any]) -> Part:
    data, mime_type = _first(part, ("content", "data"), None), str(_first(part, ("mime_type", "mimeType"), ""))
    if not isinstance(data, str):
        return dict(part)
    return to_blob(data, str(part.get("modality") or mime_type.partition("/")[0]), mime_type)


def _read_url(url: Any, modality: str) -> Part:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return to_blob(data, modality or head[5:-7].partition("/")[0], head[5:-7])
    return {"type": "uri", "modality": modality or "document", "uri": url}


def to_blob(data: str, modality: str, mime_type: str) -> Part:
    """What is kept of `data`, base64 text of either alphabet: SHA-256 and length of the bytes it stands for."""
    try:
        content = base64.b64decode(data + "==", altchars=b"-_")
    except (binascii.Error, ValueError):
        content = data.encode("utf-8", "replace")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "digest": digest, "bytes": len(content)}


def _undo_json(text: Any) -> Any:
    """Arguments travel as JSON inside a string; text that is no JSON stays text."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _first(fields: Mapping[str, Any], keys: tuple[str, ...], otherwise: Any) -> Any:
    """The value of the first of `keys` that is filled."""
    return next((fields[key] for key in keys if fields.get(key)), otherwise)


def _plain(content: Any) -> Any:
    """A list of text blocks as one text; anything else as it is, its media cut."""
    if not isinstance(content, list):
        return content
    parts = [_read_part(part) for part in content]
    if all(part["type"] == "text" and isinstance(part["content"], str) for part in parts):
        return "\n".join(part["content"] for part in parts)
    return parts


READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    **dict.fromkeys(TEXT_KEYS, _read_text),
    **dict.fromkeys(("reasoning", "thinking"), _read_reasoning),
    **dict.fromkeys(("tool_call", "tool_use", "function_call", "function", "tool-call"), _read_tool_call),
    **dict.fromkeys((*TOOL_RESPONSES, "function_call_output"), _read_tool_response),
    **dict.fromkeys(("image_url", "input_image"), _read_image_url),
    "input_audio": _read_audio,
    **dict.fromkeys(("image", "document"), _read_source),
    **dict.fromkeys(("file", "input_file"), _read_file),
    "blob": _read_blob,
}
