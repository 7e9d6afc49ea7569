"""Reads whole answers, and takes requests and answers apart without trusting their shape."""

from collections.abc import Mapping
from typing import Any, cast

import orjson

from spanwell_proxy.apis.api import BrokenAnswerError, Document, Request
from spanwell_proxy.failures import bad_request


def read_answer(body: bytes, key: str, name: str) -> Document:
    """A JSON object with a list under `key`. Raises BrokenAnswerError, with the backend's own words if it gave any."""
    document = read_object(body)
    if not isinstance(document.get(key), list):
        if document.get("error"):
            raise BrokenAnswerError(error_message(document["error"]), error_status(document["error"]))
        raise BrokenAnswerError(f"the answer is no {name}")
    return document


def read_object(body: bytes) -> Document:
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise BrokenAnswerError("the answer is not valid JSON") from error
    if not isinstance(document, dict):
        raise BrokenAnswerError("the answer is no JSON object")
    return cast(Document, document)


def error_message(error: Any) -> str:
    """The words of an error that came where an answer should be."""
    return str(error.get("message") or "the backend reported an error") if isinstance(error, dict) else str(error)


def error_status(error: Any) -> int:
    """The HTTP status such an error would have had, where it says; 502 where not, and where it is about our own key."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        return 502 if code in OUR_OWN else code
    kind = error.get("type") if isinstance(error, dict) else None
    return KINDS.get(kind, 502) if isinstance(kind, str) else 502


OUR_OWN = frozenset((401, 402, 403, 407))
KINDS = {"overloaded_error": 529, "rate_limit_error": 429, "timeout_error": 504}


def check_stream(request: Request) -> None:
    """`stream` and its options. Raises ApiError 400."""
    options = request.get("stream_options")
    if not isinstance(request.get("stream") or False, bool):
        raise bad_request("stream must be true or false", "stream")
    if options is not None and not isinstance(options, dict):
        raise bad_request("stream_options must be an object", "stream_options")


def wants_usage(request: Request) -> bool:
    options = request.get("stream_options")
    return bool(isinstance(options, Mapping) and options.get("include_usage"))


def count(value: Any) -> int | None:
    """A number of tokens that a request names; None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing else is one."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
