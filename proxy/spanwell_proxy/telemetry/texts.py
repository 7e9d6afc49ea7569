"""What was said in a call, as the texts of its span: shortened, and kept as is asked for: masked, or sealed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from spanwell import conventions as c
from spanwell_proxy.apis.api import Document, Messages
from spanwell_proxy.call import Call

LONGEST_TEXT: Final = 64 * 1024  # of one string inside a message: images travel as text
LONGEST_TEXTS: Final = 4 * 1024 * 1024  # of all messages together, about: what is encoded holds up the calls
SHORTEST_TEXT: Final = 64
KeepText = Callable[[str, str], str]  # what is stored of messages in JSON, and whose call it was


def tell_texts(call: Call, answer: Document | None, keep: KeepText) -> Mapping[str, str]:
    """Messages of parts, in JSON."""
    texts = {}
    if asked := call.api.asked(call.request):
        texts[c.INPUT_MESSAGES] = keep(_to_text(asked, len(call.body)), call.user)
    if answer and (answered := call.api.answered(answer)):
        texts[c.OUTPUT_MESSAGES] = keep(_to_text(answered, call.size_bytes - len(call.body)), call.user)
    return texts


def _to_text(messages: Messages, size_bytes: int) -> str:
    if size_bytes > LONGEST_TEXTS:
        messages = _shorten(messages, min(LONGEST_TEXT, max(SHORTEST_TEXT, LONGEST_TEXTS // len(messages))))
    elif size_bytes > LONGEST_TEXT:
        messages = _shorten(messages, LONGEST_TEXT)
    try:
        return orjson.dumps(messages).decode()
    except (TypeError, RecursionError):  # nested deeper than JSON is written
        return ""


def _shorten(value: Any, most: int) -> Any:
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]}… [{len(value) - most} more characters]"
    if isinstance(value, list):
        return [_shorten(item, most) for item in value]
    if isinstance(value, dict):
        return {key: _shorten(item, most) for key, item in value.items()}
    return value
