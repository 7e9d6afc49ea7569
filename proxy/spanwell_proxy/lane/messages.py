"""Chat completions as answers of Anthropic's Messages API, whole or streamed. Pure: it knows neither LiteLLM nor HTTP.

https://docs.anthropic.com/en/api/messages-streaming says which events come in which order.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from spanwell_proxy.lane.completions import Json, read_details, without_number

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
Names = Mapping[str, str]  # of tools, by the names that stood for them: OpenAI's may have 64 letters only


def to_message(completion: Json, message_id: str, names: Names) -> Json:
    """A whole answer. Anthropic's has one choice: the first."""
    choice = completion["choices"][0]
    said = choice["message"]
    blocks = [*_thoughts(said), *_texts(said), *(_tool_use(call, names) for call in said.get("tool_calls") or ())]
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": completion.get("model") or "",
        "content": blocks,
        "stop_reason": REASONS.get(choice.get("finish_reason") or "stop", "end_turn"),
        "stop_sequence": None,
        "usage": to_usage(completion.get("usage") or {}) | _tier(completion),
    }


def to_usage(usage: Mapping[str, Any]) -> Json:
    """Anthropic counts what was read from a cache and written to it beside the input, not inside."""
    sent, _ = read_details(usage)
    cached = sent.get("cached_tokens") or 0
    written = max(sent.get(key) or 0 for key in ("cache_write_tokens", "cache_creation_tokens", "created_cache_tokens"))
    counted: Json = {
        "input_tokens": max(0, (usage.get("prompt_tokens") or 0) - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.get("completion_tokens") or 0,
    }
    kept = sent.get("cache_creation_token_details")
    return counted | ({"cache_creation": kept} if written and kept else {})


class MessageEvents:
    """Turns the chunks of a completion into the events of a message."""

    def __init__(self, message_id: str, names: Names) -> None:
        self._id = message_id
        self._names = names
        self._open = ""  # what the present block is: thinking, text, or a tool call by its number
        self._index = -1  # of the present block
        self._calls: dict[int, int] = {}  # tool calls by their number: the block of each
        self._reason = "end_turn"
        self._usage: Json = {}

    def begin(self, chunk: Json) -> bytes:
        """The first events, from what the first chunk says of the answer."""
        head = {"id": self._id, "type": "message", "role": "assistant", "model": chunk.get("model") or ""}
        empty: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": to_usage({})}
        return _event("message_start", message=head | empty) + _event("ping")

    def feed(self, chunk: Json) -> bytes:
        if chunk.get("usage"):
            self._usage = to_usage(chunk["usage"]) | _tier(chunk)
        events: list[bytes] = []
        for choice in chunk.get("choices", ()):
            if choice.get("index"):
                continue
            events += self._pass(choice["delta"])
            self._reason = REASONS.get(choice.get("finish_reason") or "", self._reason)
        return b"".join(events)

    def finish(self) -> bytes:
        stop = {"stop_reason": self._reason, "stop_sequence": None}
        usage = self._usage or to_usage({})
        return b"".join((*self._close(), _event("message_delta", delta=stop, usage=usage), _event("message_stop")))

    def _pass(self, delta: Json) -> Iterator[bytes]:
        for block in delta.get("thinking_blocks") or _unsigned(delta):
            yield from self._think(block)
        if text := delta.get("content"):
            yield from self._enter("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _think(self, block: Json) -> Iterator[bytes]:
        if block.get("type") == "redacted_thinking":
            yield from self._close()
            yield from self._enter("redacted", without_number(block))
            return
        yield from self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text := block.get("thinking"):
            yield self._delta({"type": "thinking_delta", "thinking": text})
        if signature := block.get("signature"):
            yield self._delta({"type": "signature_delta", "signature": signature})

    def _call(self, call: Json) -> Iterator[bytes]:
        number, function = call.get("index") or 0, call.get("function") or {}
        if number not in self._calls:
            yield from self._enter(
                f"call {number}", _tool_use({**call, "function": {**function, "arguments": ""}}, self._names)
            )
            self._calls[number] = self._index
        if arguments := function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": arguments}
            yield _event("content_block_delta", index=self._calls[number], delta=delta)

    def _enter(self, kind: str, block: Json) -> Iterator[bytes]:
        """Be in a block of this kind: the one that is open, or a new one."""
        if self._open == kind:
            return
        yield from self._close()
        self._open, self._index = kind, self._index + 1
        yield _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open:
            self._open = ""
            yield _event("content_block_stop", index=self._index)

    def _delta(self, delta: Json) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def _thoughts(said: Json) -> Iterable[Json]:
    return said.get("thinking_blocks") or [{**block, "signature": ""} for block in _unsigned(said)]


def _unsigned(said: Json) -> list[Json]:
    """The thoughts of a model that does not sign them."""
    text = said.get("reasoning_content") or said.get("reasoning")
    return [{"type": "thinking", "thinking": text}] if isinstance(text, str) and text else []


def _texts(said: Json) -> list[Json]:
    text = said.get("content") or said.get("refusal")
    return [{"type": "text", "text": text}] if text else []


def _tool_use(call: Json, names: Names) -> Json:
    function = call.get("function") or {}
    name = function.get("name") or ""
    return {
        "type": "tool_use",
        "id": call.get("id") or "",
        "name": names.get(name, name),
        "input": _read_arguments(function.get("arguments")),
    }


def _read_arguments(text: Any) -> Json:
    try:
        arguments = orjson.loads(text or "{}")
    except ValueError:
        return {"arguments": text}  # a model that writes no JSON: what it wrote is better than nothing
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _tier(answer: Json) -> Json:
    return {"service_tier": answer["service_tier"]} if answer.get("service_tier") else {}
