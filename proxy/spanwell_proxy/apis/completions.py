"""Text completions: OpenAI's older `/completions`, which gives a text a text goes on with."""

from typing import Any

from spanwell_proxy.apis.answers import check_stream, count, items, read_answer, wants_usage
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Messages, Request
from spanwell_proxy.apis.chat import error_event, prepare, usage
from spanwell_proxy.apis.chunks import ChunkReader, write_chunks
from spanwell_proxy.failures import bad_request


class Completion:
    """One choice of a stream, put together."""

    __slots__ = ("finish_reason", "is_partial", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.finish_reason: str | None = None
        self.is_partial = False

    def take(self, part: dict[str, Any]) -> bool:
        self.finish_reason = part.get("finish_reason") or self.finish_reason
        self.is_partial |= bool(part.get("logprobs"))
        if isinstance(text := part.get("text"), str):
            self.pieces.append(text)
        return bool(self.pieces)

    def whole(self, index: int) -> dict[str, Any]:
        text = "".join(self.pieces)
        return {"index": index, "text": text, "logprobs": None, "finish_reason": self.finish_reason}


class CompletionReader(ChunkReader[Completion]):
    """Of the chunks of a text completion."""

    name, kind = "text completion", "text_completion"

    def _open_choice(self) -> Completion:
        return Completion()


def check(request: Request) -> None:
    """Raises ApiError 400."""
    prompt = request.get("prompt")
    if not isinstance(prompt, str | list) and "prompt_embeds" not in request:
        raise bad_request("prompt must be a text, a list of texts, or a list of token ids", "prompt")
    check_stream(request)


def read(body: bytes) -> Document:
    """Raises BrokenAnswerError."""
    completion = read_answer(body, "choices", "text completion")
    if not all(isinstance(choice, dict) and isinstance(choice.get("text"), str) for choice in completion["choices"]):
        raise BrokenAnswerError("the answer is no text completion")
    return completion


def asked(request: Request) -> Messages:
    return write_inputs(request.get("prompt"))


def write_inputs(given: Any) -> Messages:
    """Texts, or lists of token ids, as messages: of ids only how many there are."""
    if isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int)):
        given = [given]
    if not isinstance(given, list):
        return ()
    return [{"role": "user", "parts": [_write_input(item)]} for item in given]


def _write_input(item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {"type": "text", "content": item}
    return {"type": "tokens", "count": len(item) if isinstance(item, list) else 1}


def answered(completion: Document) -> Messages:
    return [_write_choice(choice) for choice in items(completion.get("choices"))]


def _write_choice(choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "parts": [{"type": "text", "content": choice.get("text")}]}
    reason = choice.get("finish_reason")
    return message | {"finish_reason": reason} if isinstance(reason, str) else message


def reasons(completion: Document) -> list[str]:
    found = (choice.get("finish_reason") for choice in items(completion.get("choices")))
    return [reason for reason in found if isinstance(reason, str)]


def max_tokens(request: Request) -> int | None:
    return count(request.get("max_tokens"))


def open_reader(request: Request) -> CompletionReader:
    return CompletionReader(hide_usage=not wants_usage(request))


def as_stream(completion: Document, request: Request) -> bytes:
    """A chunk a choice: this API's chunks look like its whole answers."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    chunks = [head | {"choices": [choice]} for choice in completion["choices"]]
    if wants_usage(request) and completion.get("usage"):
        chunks.append(head | {"choices": [], "usage": completion["usage"]})
    return write_chunks(chunks)


def is_cacheable(request: Request) -> bool:
    """A stream's logprobs are not put together again."""
    return not (request.get("stream") is True and request.get("logprobs") is not None)


COMPLETIONS = Api(
    name="completions",
    operation="text_completion",
    path="/completions",
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
    whole_reasons=frozenset(("stop", "length")),
)
