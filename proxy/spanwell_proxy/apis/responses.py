"""Responses: OpenAI's `/responses`, whose backends keep what they answered unless they are asked not to."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from spanwell.messages import to_message
from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import check_stream, count, error_message, error_status, items, read_answer
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.apis.counting import no_messages, no_output, no_reasons, no_usage, read_count
from spanwell_proxy.apis.events import write_event
from spanwell_proxy.apis.response_replay import as_stream
from spanwell_proxy.apis.response_stream import ResponseReader
from spanwell_proxy.apis.usage import read_usage
from spanwell_proxy.failures import ApiError, bad_request, error_body

# Who an item without a role is of.
ROLES = {
    "computer_call_output": "tool",
    "custom_tool_call_output": "tool",
    "function_call_output": "tool",
    "local_shell_call_output": "tool",
    "mcp_approval_response": "user",
}


def check(request: Request) -> None:
    """Raises ApiError 400."""
    given = request.get("input")
    if given is not None and not isinstance(given, str | list):
        raise bad_request("input must be a text or a list of items", "input")
    for key in ("previous_response_id", "instructions"):
        if not isinstance(request.get(key) or "", str):
            raise bad_request(f"{key} must be a text", key)
    check_stream(request)


def prepare(request: dict[str, Any]) -> None:
    """Nothing: the usage comes unasked."""


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError, also for a response that says of itself that it failed."""
    response = read_answer(body, "output", "response")
    if response.get("status") == "failed":
        raise BrokenAnswerError(error_message(response.get("error") or {}), error_status(response.get("error")))
    if not all(isinstance(item, dict) for item in response["output"]):
        raise BrokenAnswerError("the answer is no response")
    return response


def usage(response: Document) -> Usage | None:
    """Of a response that is still worked at there is none yet, and of one that was cancelled before it began."""
    reported = response.get("usage")
    if not isinstance(reported, dict):
        return Usage() if is_pending(response) or response.get("status") == "cancelled" else None
    return read_usage(reported)


def is_pending(response: Mapping[str, Any]) -> bool:
    """Whether the backend goes on with it though it has answered."""
    return response.get("status") in ("queued", "in_progress")


def asked(request: Request) -> Messages:
    given, instructions = request.get("input"), request.get("instructions")
    said = [{"role": "system", "content": instructions}] if isinstance(instructions, str) and instructions else []
    if isinstance(given, str):
        return [to_message(item) for item in (*said, {"role": "user", "content": given})]
    return [to_message(item) for item in (*said, *map(_with_role, items(given)))]


def _with_role(item: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(item.get("role"), str):
        return item
    kind = item.get("type")
    return {"role": ROLES.get(kind, "assistant") if isinstance(kind, str) else "assistant", "content": [item]}


def answered(response: Document) -> Messages:
    """One message of everything that was said, in order."""
    content = [part for item in items(response.get("output")) for part in _parts(item)]
    reason = next(iter(reasons(response)), None)
    return [to_message({"role": "assistant", "content": content, "finish_reason": reason})]


def _parts(item: Mapping[str, Any]) -> Iterator[Any]:
    content = item.get("content")
    if item.get("type") == "message" and isinstance(content, list):
        yield from content
    else:
        yield item


def reasons(response: Document) -> list[str]:
    """`completed`, or why it is not."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    found = reason or response.get("status")
    return [found] if isinstance(found, str) else []


def max_tokens(request: Request) -> int | None:
    return count(request.get("max_output_tokens"))


def open_reader(_: Request) -> ResponseReader:
    return ResponseReader()


def error_event(error: ApiError) -> bytes:
    """Under `error` once more: that is where OpenAI's clients look before they raise."""
    told = error_body(error.status, error.kind, error.message, error.param)["error"]
    flat = {"type": "error", "sequence_number": 0} | {key: told[key] for key in ("code", "message", "param")}
    return write_event(flat | {"error": told})


def goes_on_with(request: Request) -> str:
    """The id of a response, or of a conversation that the backend keeps."""
    conversation = request.get("conversation")
    named = conversation.get("id") if isinstance(conversation, dict) else conversation
    return request.get("previous_response_id") or (named if isinstance(named, str) else "")


def is_cacheable(request: Request) -> bool:
    """What goes on in the background, or in a conversation, is not said twice."""
    return not (request.get("background") or request.get("conversation"))


RESPONSES = Api(
    name="responses",
    operation="chat",
    path="/responses",
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
    whole_reasons=frozenset(("completed", "max_output_tokens")),
    keeps_answers=True,
    goes_on_with=goes_on_with,
)

# A long conversation made short: an answer that is no stream, and that nobody keeps.
COMPACT = replace(
    RESPONSES,
    name="compact",
    path="/responses/compact",
    open_reader=None,
    as_stream=None,
    error_event=None,
    whole_reasons=frozenset(),
    keeps_answers=False,
)

INPUT_TOKENS = Api(
    name="input_tokens",
    operation="",
    path="/responses/input_tokens",
    dialect="openai",
    check=check,
    prepare=prepare,
    read=read_count,
    usage=no_usage,
    asked=no_messages,
    answered=no_messages,
    reasons=no_reasons,
    max_tokens=no_output,
    is_cacheable=is_cacheable,
    goes_on_with=goes_on_with,
)
