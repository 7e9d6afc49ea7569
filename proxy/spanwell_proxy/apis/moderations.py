"""Moderation: OpenAI's `/moderations`. It costs nothing there, and reports no tokens."""

from typing import Any

import orjson

from spanwell.messages import to_messages
from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import read_answer
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.failures import bad_request


def check(request: Request) -> None:
    """Raises ApiError 400."""
    given = request.get("input")
    if not isinstance(given, str | list) or not given:
        raise bad_request("input must be a text, or a list of at least one", "input")


def prepare(request: dict[str, Any]) -> None:
    pass


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    answer = read_answer(body, "results", "moderation")
    if not all(isinstance(result, dict) for result in answer["results"]):
        raise BrokenAnswerError("the answer is no moderation")
    return answer


def usage(_: Document) -> Usage | None:
    return Usage()


def asked(request: Request) -> Messages:
    given = request.get("input")
    listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in listed]
    return to_messages([{"role": "user", "content": content}]) or ()


def answered(answer: Document) -> Messages:
    """Whether each input was flagged, and for what."""
    told = [{"flagged": result.get("flagged"), "categories": _flagged(result)} for result in answer["results"]]
    return [{"role": "assistant", "parts": [{"type": "text", "content": orjson.dumps(told).decode()}]}]


def reasons(_: Document) -> list[str]:
    return []


def max_tokens(_: Request) -> int | None:
    return 0


def is_cacheable(_: Request) -> bool:
    return True


def _flagged(result: dict[str, Any]) -> list[str]:
    categories = result.get("categories")
    return [name for name, is_so in categories.items() if is_so] if isinstance(categories, dict) else []


MODERATIONS = Api(
    name="moderations",
    operation="moderation",
    path="/moderations",
    dialect="openai",
    check=check,
    prepare=prepare,
    read=read,
    usage=usage,
    asked=asked,
    answered=answered,
    reasons=reasons,
    max_tokens=max_tokens,
    is_cacheable=is_cacheable,
)
