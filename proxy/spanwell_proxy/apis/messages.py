"""Messages: Anthropic's `/messages`, and the counting of their tokens beforehand.

Anthropic counts what was read from its cache, and what was written to it, beside the input; here they are part of it.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from spanwell.messages import to_message
from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import check_stream, count, read_answer
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Headers, Messages, Request
from spanwell_proxy.apis.counting import no_messages, no_output, no_reasons, no_usage, read_count
from spanwell_proxy.apis.events import write_event
from spanwell_proxy.apis.message_stream import MessageReader, read_message_usage
from spanwell_proxy.failures import ApiError, bad_request, write_anthropic_error

VERSION = re.compile(rb"20\d\d-\d\d-\d\d")
# Features that change what a model does; one that lets a request act for somebody else is not among them.
BETAS = (
    "advanced-tool-use-",
    "code-execution-",
    "computer-use-",
    "context-1m-",
    "context-management-",
    "effort-",
    "extended-cache-ttl-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "message-batches-",
    "output-128k-",
    "output-300k-",
    "pdfs-",
    "prompt-caching-",
    "structured-outputs-",
    "token-counting-",
    "token-efficient-tools-",
    "tool-search-tool-",
    "web-fetch-",
)
BETA = re.compile(r"[a-z0-9-]{1,64}")


def check(request: Request) -> None:
    """Raises ApiError 400."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise bad_request("messages must be a list of at least one message", "messages")
    if not isinstance(request.get("system") or "", str | list):
        raise bad_request("system must be a text or a list of text blocks", "system")
    check_stream(request)


def prepare(request: dict[str, Any]) -> None:
    """Nothing: the usage comes unasked."""


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    message = read_answer(body, "content", "message")
    if not all(isinstance(block, dict) for block in message["content"]):
        raise BrokenAnswerError("the answer is no message")
    return message


def usage(message: Document) -> Usage | None:
    reported = message.get("usage")
    return read_message_usage(reported) if isinstance(reported, dict) else None


def asked(request: Request) -> Messages:
    system, messages = request.get("system"), request.get("messages")
    given = [{"role": "system", "content": system}] if isinstance(system, str | list) and system else []
    given += [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    return [to_message(message) for message in given]


def answered(message: Document) -> Messages:
    return [to_message({"role": "assistant", "content": message.get("content"), "finish_reason": _reason(message)})]


def reasons(message: Document) -> list[str]:
    reason = _reason(message)
    return [reason] if reason else []


def _reason(message: Document) -> str | None:
    reason = message.get("stop_reason")
    return reason if isinstance(reason, str) else None


def max_tokens(request: Request) -> int | None:
    return count(request.get("max_tokens"))


def relay_headers(headers: Headers) -> dict[str, str]:
    """The version of the API that the client speaks, and those of its betas that are known to be harmless."""
    relayed = {}
    if VERSION.fullmatch(version := headers.get(b"anthropic-version", b"")):
        relayed["anthropic-version"] = version.decode()
    named = (name.strip() for name in headers.get(b"anthropic-beta", b"").decode("latin-1").split(","))
    if betas := [name for name in named if name.startswith(BETAS) and BETA.fullmatch(name)]:
        relayed["anthropic-beta"] = ",".join(betas)
    return relayed


def open_reader(_: Request) -> MessageReader:
    return MessageReader()


def as_stream(message: Document, _: Request) -> bytes:
    """A whole message as the events of a stream."""
    stop = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    head = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}]
    for index, block in enumerate(message["content"]):
        begun, deltas = _unfold(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": stop, "usage": message.get("usage") or {"output_tokens": 0}})
    return b"".join(map(write_event, [*events, {"type": "message_stop"}]))


def _unfold(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and the deltas that complete it."""
    kind = block.get("type")
    if kind == "text":
        citations = ({"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ())
        return block | {"text": ""}, [{"type": "text_delta", "text": block.get("text", "")}, *citations]
    if kind == "thinking":
        return block | {"thinking": "", "signature": ""}, list(_unfold_thinking(block))
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        given = orjson.dumps(block.get("input")).decode()
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": given}]
    return block, []


def _unfold_thinking(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "thinking_delta", "thinking": block.get("thinking", "")}
    if block.get("signature"):
        yield {"type": "signature_delta", "signature": block["signature"]}


def error_event(error: ApiError) -> bytes:
    return write_event(write_anthropic_error(error))


def is_cacheable(request: Request) -> bool:
    """A container is a place where work goes on; servers of tools answer as they like."""
    return not (request.get("container") or request.get("mcp_servers"))


MESSAGES = Api(
    name="messages",
    operation="chat",
    path="/messages",
    dialect="anthropic",
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
    whole_reasons=frozenset(("end_turn", "max_tokens", "stop_sequence", "tool_use")),
    kept_metadata=frozenset(("user_id",)),
    relay_headers=relay_headers,
)

COUNT_TOKENS = Api(
    name="count_tokens",
    operation="",
    path="/messages/count_tokens",
    dialect="anthropic",
    check=check,
    prepare=prepare,
    read=read_count,
    usage=no_usage,
    asked=no_messages,
    answered=no_messages,
    reasons=no_reasons,
    max_tokens=no_output,
    is_cacheable=is_cacheable,
    relay_headers=relay_headers,
)
