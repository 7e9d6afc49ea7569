"""Reads a backend's event stream as it passes: what goes on to the client, and what was said in it.

Only whole events leave, so a client never sees half of one, and the usage that was asked for on the client's behalf
is taken out again. Texts are put together for the span and for the cache.
"""

from typing import Any

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.usage import read_usage

LONGEST_EVENT_BYTES = 8 * 1024 * 1024
DONE = b"data: [DONE]\n\n"
TEXTS = ("content", "reasoning", "reasoning_content", "refusal")
KNOWN = frozenset(("role", "tool_calls", *TEXTS))


class BrokenStreamError(Exception):
    """What came is no event stream of a chat completion, or the backend reported an error inside it."""


class Choice:
    """One choice, put together from its deltas."""

    __slots__ = ("finish_reason", "is_partial", "texts", "tool_calls")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None
        self.is_partial = False  # something was said that is not put together here: audio, annotations

    def add(self, delta: dict[str, Any]) -> bool:
        """Take one delta in; false if it only names the role."""
        for key in TEXTS:
            if (text := delta.get(key)) and isinstance(text, str):
                self.texts.setdefault(key, []).append(text)
        for call in delta.get("tool_calls") or ():
            self._add_tool_call(call)
        if not delta.keys() <= KNOWN:
            self.is_partial |= any(delta[key] for key in delta.keys() - KNOWN)
        return "role" not in delta or bool(delta.get("tool_calls") or any(delta.get(key) for key in TEXTS))

    def message(self) -> dict[str, Any]:
        """The whole message, as a unary answer would have held it."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message.update({key: "".join(pieces) for key, pieces in self.texts.items()})
        if self.tool_calls:
            message["tool_calls"] = [call for _, call in sorted(self.tool_calls.items())]
        return message

    def _add_tool_call(self, call: dict[str, Any]) -> None:
        whole = self.tool_calls.setdefault(
            int(call.get("index") or 0), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        whole["id"] = call.get("id") or whole["id"]
        function = call.get("function") or {}
        whole["function"]["name"] += function.get("name") or ""
        whole["function"]["arguments"] += function.get("arguments") or ""


class StreamReader:
    """Feed it what the backend sends; it returns what the client gets."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.hide_usage = hide_usage
        self.usage: Usage | None = None
        self.reported: dict[str, Any] | None = None  # the usage in the backend's own words
        self.id = ""
        self.model = ""
        self.service_tier: Any = None  # as the backend names it
        self.choices: dict[int, Choice] = {}
        self.content_chunks = 0  # chunks after the one that only names the role
        self.done = False
        self._rest = b""

    @property
    def complete(self) -> bool:
        """Whether the backend said all it had to say."""
        return self.done or (bool(self.choices) and all(choice.finish_reason for choice in self.choices.values()))

    def feed(self, data: bytes) -> bytes:
        """Whole events of `data` and of what was left before. Raises BrokenStreamError."""
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n") + 2
        self._rest = data[end:] if end > 1 else data
        if len(self._rest) > LONGEST_EVENT_BYTES:
            raise BrokenStreamError("the backend sent an event without an end")
        if end < 2:
            return b""
        block = data[:end]
        events = block.split(b"\n\n")[:-1]
        passed = [self._pass(event) for event in events]
        # Nearly always nothing was taken out, and the bytes go on as they came.
        if all(before is after for before, after in zip(events, passed, strict=True)):
            return block
        return b"".join(event + b"\n\n" for event in passed if event)

    def finish(self) -> bytes:
        """The stream has ended: what is left is an event too, though no blank line came after it."""
        return self.feed(b"\n\n") if self._rest.strip() else b""

    def _pass(self, event: bytes) -> bytes:
        payload = event[5:].strip() if event.startswith(b"data:") and b"\n" not in event else _data_of(event)
        if not payload:
            return event
        if payload == b"[DONE]":
            self.done = True
            return event
        try:
            chunk = orjson.loads(payload)
            hidden = self._take(chunk)
        except (ValueError, TypeError, AttributeError) as error:
            raise BrokenStreamError("the backend sent an event that is no chat completion chunk") from error
        if not hidden:
            return event
        return b"data: " + orjson.dumps(chunk) if chunk["choices"] else b""

    def _take(self, chunk: dict[str, Any]) -> bool:
        """Note what the chunk says; true if usage was taken out of it."""
        if chunk.get("error"):
            raise BrokenStreamError(_error_message(chunk["error"]))
        self.id = self.id or str(chunk.get("id") or "")
        self.model = self.model or str(chunk.get("model") or "")
        self.service_tier = chunk.get("service_tier") or self.service_tier
        said_something = False
        for part in chunk["choices"] if chunk.get("choices") else ():
            index = int(part.get("index") or 0)
            choice = self.choices.get(index)
            if choice is None:
                choice = self.choices[index] = Choice()
            choice.finish_reason = part.get("finish_reason") or choice.finish_reason
            said_something |= choice.add(part.get("delta") or {})
        self.content_chunks += said_something
        if not chunk.get("usage"):
            return False
        self.reported, self.usage = chunk["usage"], read_usage(chunk["usage"])
        if self.hide_usage:
            del chunk["usage"]
            chunk.setdefault("choices", [])
        return self.hide_usage


def _data_of(event: bytes) -> bytes:
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].strip() for line in lines)


def _error_message(error: Any) -> str:
    return str(error.get("message") or "the backend reported an error") if isinstance(error, dict) else str(error)
