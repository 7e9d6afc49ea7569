"""Media in JSON of any shape: a digest and a length take the place of the bytes, which nobody reads in a trace."""

import re
from collections.abc import Mapping
from typing import Any, Final

from spanwell.messages import to_blob
from spanwell_collector import telemetry
from spanwell_collector.dialects.jsontext import to_json

DEEPEST: Final = 32  # what nests deeper is left out, so that nothing later runs out of stack
SHORTEST_DATA: Final = 256  # characters: less is cheaper to keep than its digest
MIME_KEYS: Final = ("mime_type", "media_type", "mimeType", "mediaType", "format")
DATA_KEYS: Final = ("data", "content", "bytes", "b64_json", "base64")
MARKS: Final = ("base64", '"b64_json"', *(f'"{key}"' for key in MIME_KEYS))
DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)[^,]{0,100};base64,", re.ASCII)
BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z", re.ASCII)
LONGEST_VECTOR: Final = 64  # numbers: a longer list is an embedding


DIGEST: Final = '"digest":"sha256:'


def write_content(content: Any) -> str:
    """`content` as JSON text without media; messages have given theirs up when they were read."""
    text = to_json(content)
    if has_media(text) or not text:
        text = to_json(cut_media(content))
    if count := text.count(DIGEST):
        telemetry.CUT.labels("media").inc(count)
    return text


def cut_media(value: Any, depth: int = 0) -> Any:
    """`value` with base64 media and embeddings replaced by what they were."""
    if isinstance(value, str):
        return _cut_text(value)
    if not isinstance(value, list | dict):
        return value
    if depth > DEEPEST:
        return None
    if isinstance(value, list):
        if len(value) > LONGEST_VECTOR and all(isinstance(item, int | float) for item in value):
            return f"[{len(value)} numbers]"
        return [cut_media(item, depth + 1) for item in value]
    return {name: cut_media(_cut_data(name, item, value), depth + 1) for name, item in value.items()}


def has_media(text: str) -> bool:
    """Whether `text` may hold media: cheap, and wrong only towards yes."""
    return len(text) > SHORTEST_DATA and any(mark in text for mark in MARKS)


def _cut_text(text: str) -> Any:
    if not text.startswith("data:"):
        return text
    url = DATA_URL.match(text)
    return to_blob(text[url.end() :], url[1].partition("/")[0], url[1]) if url else text


def _cut_data(name: str, item: Any, around: Mapping[str, Any]) -> Any:
    if name not in DATA_KEYS or not isinstance(item, str) or len(item) < SHORTEST_DATA or not BASE64.match(item):
        return item
    mime = next((around[key] for key in MIME_KEYS if isinstance(around.get(key), str)), None)
    if mime is None and name not in ("b64_json", "base64"):
        return item
    return to_blob(item, str(mime or "").partition("/")[0], str(mime or ""))
