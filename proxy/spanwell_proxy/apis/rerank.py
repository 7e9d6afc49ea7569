"""Reranking: documents in the order in which they answer a query. Cohere's shape, which vLLM and Jina speak too."""

from typing import Any

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import read_answer
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.failures import bad_request

MOST_DOCUMENTS_SHOWN = 100


def check(request: Request) -> None:
    """Raises ApiError 400."""
    query, documents = request.get("query"), request.get("documents")
    if not isinstance(query, str | dict) or not query:
        raise bad_request("query must be a text", "query")
    if not isinstance(documents, list) or not documents:
        raise bad_request("documents must be a list of at least one document", "documents")


def prepare(request: dict[str, Any]) -> None:
    pass


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    answer = read_answer(body, "results", "reranking")
    if not all(isinstance(result, dict) for result in answer["results"]):
        raise BrokenAnswerError("the answer is no reranking")
    return answer


def usage(answer: Document) -> Usage | None:
    """vLLM's and Jina's `usage`, or what Cohere has billed; all of it was read."""
    reported, meta = answer.get("usage"), answer.get("meta")
    billed = meta.get("tokens") or meta.get("billed_units") if isinstance(meta, dict) else None
    for counts, names in ((reported, ("prompt_tokens", "total_tokens")), (billed, ("input_tokens",))):
        given = [counts.get(name) for name in names] if isinstance(counts, dict) else []
        for tokens in given:
            if isinstance(tokens, int) and 0 < tokens < 2**32:
                return Usage(input=tokens)
    return Usage() if _searches(answer) else None


def pieces(_: Request, answer: Document) -> dict[str, int]:
    """How many searches are charged: as many as Cohere says, else one."""
    return {"query": _searches(answer) or 1}


def asked(request: Request) -> Messages:
    documents = request.get("documents")
    listed = documents[:MOST_DOCUMENTS_SHOWN] if isinstance(documents, list) else []
    texts = [_text(request.get("query")), *map(_text, listed)]
    return [{"role": "user", "parts": [{"type": "text", "content": text} for text in texts]}]


def answered(answer: Document) -> Messages:
    shown = [
        {name: result.get(name) for name in ("index", "relevance_score")}
        for result in answer["results"][:MOST_DOCUMENTS_SHOWN]
    ]
    return [{"role": "assistant", "parts": [{"type": "text", "content": orjson.dumps(shown).decode()}]}]


def reasons(_: Document) -> list[str]:
    return []


def max_tokens(_: Request) -> int | None:
    return 0


def is_cacheable(_: Request) -> bool:
    return True


def _searches(answer: Document) -> int:
    meta = answer.get("meta")
    units = meta.get("billed_units") if isinstance(meta, dict) else None
    count = units.get("search_units") if isinstance(units, dict) else None
    return int(count) if isinstance(count, int | float) and 0 < count < 2**32 else 0


def _text(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return str(value["text"])
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


RERANK = Api(
    name="rerank",
    operation="rerank",
    path="/rerank",
    dialect="openai",
    check=check,
    prepare=prepare,
    read=read,
    usage=usage,
    pieces=pieces,
    asked=asked,
    answered=answered,
    reasons=reasons,
    max_tokens=max_tokens,
    is_cacheable=is_cacheable,
)
