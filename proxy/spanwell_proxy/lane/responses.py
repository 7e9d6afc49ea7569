"""Chat completions as answers of OpenAI's Responses API, whole or streamed. Pure: it knows neither LiteLLM nor HTTP."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from spanwell_proxy.lane.completions import Json, read_details, without_number

# What an answer repeats of its request, and what it says where that named none.
ECHOED: Json = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Origin(NamedTuple):
    """What an answer is made from, besides the completion. `seed` is what the ids of its items begin with."""

    request: Mapping[str, Any]
    seed: str
    created_at: int


def to_response(completion: Json, origin: Origin) -> Json:
    """A whole answer, of the completion's first choice."""
    events = ResponseEvents(origin)
    choice = completion["choices"][0]
    said, reason = choice["message"], choice.get("finish_reason")
    calls = [call | {"index": at} for at, call in enumerate(said.get("tool_calls") or ())]
    events.feed({**completion, "choices": [{"delta": said | {"tool_calls": calls}, "finish_reason": reason}]})
    events.finish()
    return events.response


class ResponseEvents:
    """Turns the chunks of a completion into the events of a response, and keeps the whole in `response`."""

    def __init__(self, origin: Origin) -> None:
        named = {key: value for key, value in origin.request.items() if key in ECHOED and value is not None}
        self.response: Json = {
            "id": f"resp_{origin.seed}",
            "object": "response",
            "created_at": origin.created_at,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": "",
            "output": [],
            "store": False,
            "usage": None,
            **ECHOED,
            **named,
        }
        self._seed = origin.seed
        self._custom = {tool.get("name") for tool in origin.request.get("tools") or () if tool.get("type") == "custom"}
        self._number = -1  # of the last event
        self._item: Json | None = None  # that is being written; it is the last of the output
        self._calls: dict[int, Json] = {}  # items by the number of their tool call
        self._thought = ""  # not signed yet
        self._signed: list[Json] = []  # thoughts that a backend wants back as they were
        self._reason = ""

    def begin(self, chunk: Json) -> bytes:
        self.response["model"] = chunk.get("model") or ""
        return self._event("response.created", response=self.response) + self._event(
            "response.in_progress", response=self.response
        )

    def feed(self, chunk: Json) -> bytes:
        self.response["model"] = chunk.get("model") or self.response["model"]
        if chunk.get("usage"):
            self.response["usage"] = to_usage(chunk["usage"])
        if chunk.get("service_tier"):
            self.response["service_tier"] = chunk["service_tier"]
        events: list[bytes] = []
        for choice in chunk.get("choices", ()):
            if choice.get("index"):
                continue
            events += self._pass(choice["delta"], (choice.get("logprobs") or {}).get("content") or [])
            self._reason = choice.get("finish_reason") or self._reason
        return b"".join(events)

    def finish(self) -> bytes:
        events = b"".join(self._close())
        cut = CUT.get(self._reason)
        self.response["status"] = "incomplete" if cut else "completed"
        self.response["incomplete_details"] = {"reason": cut} if cut else None
        return events + self._event(f"response.{self.response['status']}", response=self.response)

    def _pass(self, delta: Json, logprobs: list[Json]) -> Iterator[bytes]:
        for block in delta.get("thinking_blocks") or ():
            self._keep(block)
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield from self._enter("reasoning")
            yield self._add("response.reasoning_summary_text.delta", thought, summary_index=0)
        if text := delta.get("content"):
            yield from self._enter("message")
            yield self._add("response.output_text.delta", text, content_index=0, logprobs=logprobs)
        if refusal := delta.get("refusal"):
            yield from self._enter("refusal")
            yield self._add("response.refusal.delta", refusal, content_index=0)
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _keep(self, block: Json) -> None:
        self._thought += block.get("thinking") or ""
        if block.get("signature"):
            self._signed.append({"type": "thinking", "thinking": self._thought, "signature": block["signature"]})
            self._thought = ""
        elif block.get("data"):
            self._signed.append(without_number(block))

    def _call(self, call: Json) -> Iterator[bytes]:
        number, function = call.get("index") or 0, call.get("function") or {}
        if number not in self._calls:
            yield from self._close()
            yield from self._open(self._new_call(call.get("id") or "", function.get("name") or ""))
            self._calls[number] = self.response["output"][-1]
        item, arguments = self._calls[number], function.get("arguments")
        if arguments and item is self._item:
            item["written"] += arguments
            if item["type"] == "function_call":
                yield self._at_item("response.function_call_arguments.delta", delta=arguments)

    def _new_call(self, call_id: str, name: str) -> Json:
        head = {"status": "in_progress", "call_id": call_id, "name": name, "written": ""}
        if name in self._custom:
            return {"id": self._next_id("ctc"), "type": "custom_tool_call", **head, "input": ""}
        return {"id": self._next_id("fc"), "type": "function_call", **head, "arguments": ""}

    def _enter(self, kind: str) -> Iterator[bytes]:
        """Be in an item of this kind: the one that is open, or a new one."""
        if self._item and self._item.get("kind") == kind:
            return
        yield from self._close()
        if kind == "reasoning":
            yield from self._open({"id": self._next_id("rs"), "type": "reasoning", "summary": [], "kind": kind})
            yield self._at_item("response.reasoning_summary_part.added", summary_index=0, part=_summary(""))
        else:
            head = {"id": self._next_id("msg"), "type": "message", "status": "in_progress", "role": "assistant"}
            yield from self._open(head | {"content": [], "kind": kind})
            yield self._at_item("response.content_part.added", content_index=0, part=_part(kind, "", []))

    def _open(self, item: Json) -> Iterator[bytes]:
        self._item = item | {"written": "", "logprobs": []}
        self.response["output"].append(self._item)
        yield self._at("response.output_item.added", item=_shown(self._item))

    def _close(self) -> Iterator[bytes]:
        """End the item that is open."""
        if not self._item:
            return
        item, whole = self._item, self._item["written"]
        if item["type"] == "reasoning":
            item["summary"] = [_summary(whole)]
            if self._signed:
                item["encrypted_content"] = orjson.dumps(self._signed).decode()
            yield self._at_item("response.reasoning_summary_text.done", summary_index=0, text=whole)
            yield self._at_item("response.reasoning_summary_part.done", summary_index=0, part=_summary(whole))
        elif item["type"] == "message":
            yield from self._close_message(item, whole)
        else:
            yield from self._close_call(item, whole)
        shown = _shown(item) | ({} if item["type"] == "reasoning" else {"status": "completed"})
        yield self._at("response.output_item.done", item=shown)
        self.response["output"][-1], self._item = shown, None

    def _close_message(self, item: Json, whole: str) -> Iterator[bytes]:
        part = _part(item["kind"], whole, item["logprobs"])
        item["content"] = [part]
        if item["kind"] == "refusal":
            yield self._at_item("response.refusal.done", content_index=0, refusal=whole)
        else:
            yield self._at_item("response.output_text.done", content_index=0, text=whole, logprobs=item["logprobs"])
        yield self._at_item("response.content_part.done", content_index=0, part=part)

    def _close_call(self, item: Json, whole: str) -> Iterator[bytes]:
        if item["type"] == "function_call":
            item["arguments"] = whole
            yield self._at_item("response.function_call_arguments.done", name=item["name"], arguments=whole)
        else:
            item["input"] = _read_input(whole)
            yield self._at_item("response.custom_tool_call_input.delta", delta=item["input"])
            yield self._at_item("response.custom_tool_call_input.done", input=item["input"])

    def _add(self, kind: str, delta: str, **fields: Any) -> bytes:
        if self._item:
            self._item["written"] += delta
            self._item["logprobs"] += fields.get("logprobs", ())
        return self._at_item(kind, delta=delta, **fields)

    def _at_item(self, kind: str, **fields: Any) -> bytes:
        return self._at(kind, item_id=self._item["id"] if self._item else "", **fields)

    def _at(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, output_index=len(self.response["output"]) - 1, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        event = {"type": kind, "sequence_number": self._number, **fields}
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(event))

    def _next_id(self, prefix: str) -> str:
        return f"{prefix}_{self._seed}{len(self.response['output']):02x}"


def to_usage(usage: Mapping[str, Any]) -> Json:
    """The same counts under other names."""
    sent, received = read_details(usage)
    return {
        "input_tokens": usage.get("prompt_tokens") or 0,
        "input_tokens_details": {"cached_tokens": 0} | sent,
        "output_tokens": usage.get("completion_tokens") or 0,
        "output_tokens_details": {"reasoning_tokens": 0} | received,
        "total_tokens": usage.get("total_tokens") or 0,
    }


def _shown(item: Json) -> Json:
    """An item without what we note on it."""
    return {key: value for key, value in item.items() if key not in ("kind", "written", "logprobs")}


def _summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _part(kind: str, text: str, logprobs: list[Json]) -> Json:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _read_input(arguments: str) -> str:
    """What a custom tool gets: LiteLLM asks the model for it as the one field of an object."""
    try:
        written = orjson.loads(arguments or "{}")
    except ValueError:
        return arguments
    return str(written["content"]) if isinstance(written, dict) and "content" in written else arguments
