"""How an API that only counts tokens is read: nothing was said, and nothing used."""

from typing import Any

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import read_object
from spanwell_proxy.apis.api import BrokenAnswerError, Document, Messages, Request


def read_count(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    counted = read_object(body)
    if not isinstance(counted.get("input_tokens"), int):
        raise BrokenAnswerError("the answer is no count of tokens")
    return counted


def no_usage(_: Document) -> Usage:
    """Counting uses nothing."""
    return Usage()


def no_messages(_: Any) -> Messages:
    """What is only counted was not said."""
    return ()


def no_reasons(_: Document) -> list[str]:
    return []


def no_output(_: Request) -> int:
    return 0
