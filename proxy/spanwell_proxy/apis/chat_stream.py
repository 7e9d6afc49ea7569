"""Reads a stream of chat completion chunks as it passes.

The usage that was asked for on the client's behalf is taken out again. Texts are put together for the span and for the
cache.
"""

from typing import Any

import orjson

from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.events import EventReader, data_of, error_message
from spanwell_proxy.apis.usage import read_usage

TEXTS = ("content", "reasoning", "reasoning_content", "refusal")
KNOWN = frozenset(("role", "tool_calls", *TEXTS))


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


class ChatReader(EventReader):
    """`hide_usage` where the client did not ask for it."""

    def __init__(self, *, hide_usage: bool) -> None:
        super().__init__()
        self.reported: dict[str, Any] | None = None  # the usage in the backend's own words
        self.created = 0
        self.choices: dict[int, Choice] = {}
        self._hide_usage = hide_usage

    @property
    def complete(self) -> bool:
        return self.done or (bool(self.choices) and all(choice.finish_reason for choice in self.choices.values()))

    def is_replayable(self) -> bool:
        return not any(choice.is_partial for choice in self.choices.values())

    def document(self) -> dict[str, Any] | None:
        if not self.choices:
            return None
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [
                {"index": at, "message": choice.message(), "logprobs": None, "finish_reason": choice.finish_reason}
                for at, choice in sorted(self.choices.items())
            ],
            "usage": self.reported,
        }

    def _pass(self, event: bytes) -> bytes:
        payload = data_of(event)
        if not payload:
            return event
        if payload == b"[DONE]":
            self.done = True
            return event
        try:
            chunk = orjson.loads(payload)
            hidden = self._take(chunk)
        except (ValueError, TypeError, AttributeError) as error:
            raise BrokenAnswerError("the backend sent an event that is no chat completion chunk") from error
        if not hidden:
            return event
        return b"data: " + orjson.dumps(chunk) if chunk["choices"] else b""

    def _take(self, chunk: dict[str, Any]) -> bool:
        """Note what the chunk says; true if usage was taken out of it."""
        if chunk.get("error"):
            raise BrokenAnswerError(error_message(chunk["error"]))
        self.id = self.id or str(chunk.get("id") or "")
        self.model = self.model or str(chunk.get("model") or "")
        self.created = self.created or chunk.get("created") or 0
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
        if self._hide_usage:
            del chunk["usage"]
            chunk.setdefault("choices", [])
        return self._hide_usage
