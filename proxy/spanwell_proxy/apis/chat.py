"""Chat completions: OpenAI's `/chat/completions`, which nearly every backend speaks."""

from typing import Any

import orjson

from spanwell.messages import to_message, to_messages
from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import check_stream, count, read_answer, wants_usage
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.apis.chat_stream import ChatReader
from spanwell_proxy.apis.chunks import write_chunks
from spanwell_proxy.apis.usage import read_usage
from spanwell_proxy.failures import ApiError, bad_request, error_body


def check(request: Request) -> None:
    """What the proxy itself relies on; backends check the rest. Raises ApiError 400."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise bad_request("messages must be a list of at least one message", "messages")
    check_stream(request)


def prepare(request: dict[str, Any]) -> None:
    """Ask for the usage of a stream: it is what a bill is made of."""
    if request.get("stream") is True:
        request["stream_options"] = {**(request.get("stream_options") or {}), "include_usage": True}


def read(body: bytes) -> Document:
    """A whole completion. Raises BrokenAnswerError."""
    completion = read_answer(body, "choices", "chat completion")
    if not all(map(_is_choice, completion["choices"])):
        raise BrokenAnswerError("the answer is no chat completion")
    return completion


def usage(completion: Document) -> Usage | None:
    reported = completion.get("usage")
    return read_usage(reported) if isinstance(reported, dict) else None


def asked(request: Request) -> Messages:
    return to_messages(request.get("messages")) or ()


def answered(completion: Document) -> Messages:
    choices = completion["choices"]
    return [to_message({**choice["message"], "finish_reason": choice.get("finish_reason")}) for choice in choices]


def reasons(completion: Document) -> list[str]:
    found = (choice.get("finish_reason") for choice in completion["choices"])
    return [reason for reason in found if isinstance(reason, str)]


def max_tokens(request: Request) -> int | None:
    """As the request bounds it; None where it does not."""
    return count(request.get("max_completion_tokens") or request.get("max_tokens"))


def open_reader(request: Request) -> ChatReader:
    return ChatReader(hide_usage=not wants_usage(request))


def as_stream(completion: Document, request: Request) -> bytes:
    """A whole completion as the events of a stream."""
    head = {key: completion.get(key) for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks: list[dict[str, Any]] = []
    for choice in completion["choices"]:
        message = {key: value for key, value in choice["message"].items() if value is not None}
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": at, **call} for at, call in enumerate(message["tool_calls"])]
        place = {"index": choice.get("index", 0), "logprobs": None}
        role = {"role": message.pop("role", "assistant"), "content": ""}
        chunks.append(head | {"choices": [place | {"delta": role, "finish_reason": None}]})
        chunks.append(head | {"choices": [place | {"delta": message, "finish_reason": None}]})
        finish = {"delta": {}, "finish_reason": choice.get("finish_reason")}
        chunks.append(head | {"choices": [place | finish]})
    if wants_usage(request) and completion.get("usage"):
        chunks.append(head | {"choices": [], "usage": completion["usage"]})
    return write_chunks(chunks)


def is_cacheable(request: Request) -> bool:
    """A stream's logprobs are not put together again."""
    return not (request.get("stream") is True and request.get("logprobs"))


def error_event(error: ApiError) -> bytes:
    return b"data: " + orjson.dumps(error_body(error.status, error.kind, error.message)) + b"\n\n"


def _is_choice(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return False
    calls = message.get("tool_calls")
    return not calls or (isinstance(calls, list) and all(isinstance(call, dict) for call in calls))


CHAT = Api(
    name="chat",
    operation="chat",
    path="/chat/completions",
    dialect="openai",
    check=check,
    prepare=prepare,
    read=read,
    usage=usage,
    asked=asked,
    answered=answered,
    reasons=reasons,
    max_tokens=max_tokens,
    open_reader=open_reader,
    as_stream=as_stream,
    error_event=error_event,
    is_cacheable=is_cacheable,
    whole_reasons=frozenset(("stop", "length", "tool_calls", "function_call")),
)
