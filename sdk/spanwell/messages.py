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

TEXT_KEYS: Final = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
REASONING_KEYS: Final = ("reasoning_content", "reasoning")


def to_message(message: Mapping[str, Any]) -> Message:
    """`message` of OpenAI's or Anthropic's shape, or of ours already, as `{role, parts}`; name and end reason stay."""
    parts = message.get("parts")
    made: Message = {"role": message.get("role") or "user"}
    made["parts"] = [_read_part(part) for part in parts] if isinstance(parts, list) else list(_read_parts(message))
    for key in ("name", "finish_reason"):
        if isinstance(message.get(key), str):
            made[key] = message[key]
    return made


def to_messages(value: Any) -> list[Message] | None:
    """A list of messages in the one shape; None where `value` is no list of messages."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) and "role" in item for item in value):
        return None
    return [to_message(item) for item in value]


def _read_parts(message: Mapping[str, Any]) -> Iterator[Part]:
    for key in REASONING_KEYS:
        if isinstance(message.get(key), str) and message[key]:
            yield {"type": "reasoning", "content": message[key]}
            break
    content = message.get("content")
    if message.get("role") == "tool":
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
    kind = part.get("type")
    read = READERS.get(kind) if isinstance(kind, str) else None
    return read(part) if read else {"type": "generic", **part}


def _read_text(part: Mapping[str, Any]) -> Part:
    kind = "refusal" if part["type"] == "refusal" else "text"
    return {"type": kind, "content": part.get(TEXT_KEYS[part["type"]], part.get("content", ""))}


def _read_reasoning(part: Mapping[str, Any]) -> Part:
    return {"type": "reasoning", "content": part.get("thinking", part.get("content", part.get("text", "")))}


def _read_tool_call(call: Any) -> Part:
    if not isinstance(call, Mapping):
        return {"type": "generic", "content": call}
    function = call.get("function")
    named = function if isinstance(function, Mapping) else call
    arguments = named.get("arguments", named.get("input"))
    return {
        "type": "tool_call",
        "id": call.get("call_id", call.get("id")) or "",
        "name": named.get("name", ""),
        "arguments": _undo_json(arguments),
    }


def _read_tool_response(part: Mapping[str, Any]) -> Part:
    known = ("tool_use_id", "call_id", "id")
    response = next((part[key] for key in ("response", "result", "content", "output") if key in part), "")
    return {
        "type": "tool_call_response",
        "id": next((part[key] for key in known if part.get(key)), ""),
        "response": _plain(response),
    }


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
        return {"type": "generic", **part}
    if isinstance(source.get("data"), str) and source.get("type") == "base64":
        return to_blob(source["data"], modality, str(source.get("media_type", "")))
    if "url" in source:
        return _read_url(source["url"], modality)
    return {"type": "generic", **part}


def _read_blob(part: Mapping[str, Any]) -> Part:
    if not isinstance(part.get("content"), str):
        return dict(part)
    return to_blob(part["content"], str(part.get("modality", "")), str(part.get("mime_type", "")))


def _read_url(url: Any, modality: str) -> Part:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return to_blob(data, modality, head[5:-7])
    return {"type": "uri", "modality": modality, "uri": url}


def to_blob(data: str, modality: str, mime_type: str) -> Part:
    """What is kept of `data`, base64 text: SHA-256 and length of the bytes it stands for."""
    try:
        content = base64.b64decode(data)
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
    **dict.fromkeys(("tool_call", "tool_use", "function_call", "function"), _read_tool_call),
    **dict.fromkeys(("tool_call_response", "tool_result", "function_call_output"), _read_tool_response),
    **dict.fromkeys(("image_url", "input_image"), _read_image_url),
    "input_audio": _read_audio,
    **dict.fromkeys(("image", "document"), _read_source),
    "blob": _read_blob,
}
