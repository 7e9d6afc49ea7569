"""What of a request is compared by meaning, and what has to be the very same. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from spanwell_proxy.caches.exact import MEANINGLESS

COMPARED: Final = ("chat", "messages")  # APIs whose `messages` end with what is asked
LONGEST_QUESTION: Final = 2000  # characters: of longer ones one vector says too little
TOOLS: Final = ("tools", "functions", "tool_choice", "function_call")


@dataclass(frozen=True)
class Question:
    """`partition` is a digest of all that must be the same: realm, model, parameters, system prompt, earlier turns."""

    partition: bytes
    text: str


def read_question(api: str, realm: str, request: Mapping[str, Any], most_temperature: float) -> Question | None:
    """None where an answer must not be taken from another question: tools, pictures, dice, or nothing to compare."""
    if api not in COMPARED or any(request.get(name) for name in TOOLS):
        return None
    temperature = request.get("temperature", 1.0)
    if not isinstance(temperature, int | float) or temperature > most_temperature or request.get("n", 1) != 1:
        return None
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    text = _text_of(messages[-1])
    if not text or len(text) > LONGEST_QUESTION:
        return None
    same = {key: value for key, value in request.items() if key not in MEANINGLESS and key != "messages"}
    told = orjson.dumps([api, realm, same, messages[:-1]], option=orjson.OPT_SORT_KEYS)
    return Question(hashlib.blake2b(told, digest_size=16).digest(), text)


def _text_of(message: Any) -> str:
    """What a user said in words alone."""
    if not isinstance(message, dict) or message.get("role") != "user" or not message.keys() <= {"role", "content"}:
        return ""
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        content = part.get("text") if part.keys() == {"type", "text"} and part["type"] == "text" else None
    return content.strip() if isinstance(content, str) else ""
