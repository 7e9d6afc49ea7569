"""Embeddings: OpenAI's `/embeddings`. Vectors pass as they come, as floats or base64, and are no text on a span."""

from typing import Any

from spanwell_proxy.apis.answers import read_answer
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.apis.chat import usage
from spanwell_proxy.apis.completions import write_inputs
from spanwell_proxy.failures import bad_request

ALLOWED = "input must be a text, a list of texts, or a list of token ids, and not empty"


def check(request: Request) -> None:
    """Raises ApiError 400."""
    given = request.get("input")
    if not (isinstance(given, str | list) and given) and "messages" not in request:  # vLLM embeds conversations too
        raise bad_request(ALLOWED, "input")


def prepare(request: dict[str, Any]) -> None:
    """Nothing: the usage comes unasked."""


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    answer = read_answer(body, "data", "list of embeddings")
    if not all(isinstance(item, dict) and isinstance(item.get("embedding"), list | str) for item in answer["data"]):
        raise BrokenAnswerError("the answer is no list of embeddings")
    return answer


def asked(request: Request) -> Messages:
    return write_inputs(request.get("input"))


def answered(_: Document) -> Messages:
    return ()


def reasons(_: Document) -> list[str]:
    return []


def max_tokens(_: Request) -> int:
    return 0


def is_cacheable(request: Request) -> bool:
    return bool(request.get("input"))


EMBEDDINGS = Api(
    name="embeddings",
    operation="embeddings",
    path="/embeddings",
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
