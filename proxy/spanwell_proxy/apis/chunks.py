"""Reads a stream of OpenAI's chunks, each with some of the choices, as it passes.

The usage that was asked for on the client's behalf is taken out again. Texts are put together for the span and for the
cache.
"""

from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

import orjson

from spanwell_proxy.apis.answers import error_message, error_status
from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.events import EventReader, data_of
from spanwell_proxy.apis.usage import read_usage


class Growing(Protocol):
    """One choice, put together from its parts."""

    finish_reason: str | None
    is_partial: bool  # something was said that is not put together: logprobs, audio, annotations

    def take(self, part: dict[str, Any]) -> bool:
        """Take one part in; whether it said something."""

    def whole(self, index: int) -> dict[str, Any]:
        """As a unary answer would have held it."""


ChoiceT = TypeVar("ChoiceT", bound=Growing)


class ChunkReader(EventReader, Generic[ChoiceT]):
    """`hide_usage` where the client did not ask for it."""

    name, kind = "", ""  # of what it is, in words, and `object` of a whole answer
    closing = b"data: [DONE]\n\n"

    def __init__(self, *, hide_usage: bool) -> None:
        super().__init__()
        self.reported: dict[str, Any] | None = None  # the usage in the backend's own words
        self.created = 0
        self.choices: dict[int, ChoiceT] = {}
        self._hide_usage = hide_usage

    @abstractmethod
    def _open_choice(self) -> ChoiceT: ...

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
            "object": self.kind,
            "created": self.created,
            "model": self.model,
            "choices": [choice.whole(index) for index, choice in sorted(self.choices.items())],
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
            raise BrokenAnswerError(f"the backend sent an event that is no {self.name} chunk") from error
        if not hidden:
            return event
        return b"data: " + orjson.dumps(chunk) if chunk["choices"] else b""

    def _take(self, chunk: dict[str, Any]) -> bool:
        """Note what the chunk says; true if usage was taken out of it."""
        if chunk.get("error"):
            raise BrokenAnswerError(error_message(chunk["error"]), error_status(chunk["error"]))
        self.id = self.id or str(chunk.get("id") or "")
        self.model = self.model or str(chunk.get("model") or "")
        self.created = self.created or chunk.get("created") or 0
        self.service_tier = chunk.get("service_tier") or self.service_tier
        said_something = False
        for part in chunk["choices"] if chunk.get("choices") else ():
            index = int(part.get("index") or 0)
            choice = self.choices.get(index)
            if choice is None:
                choice = self.choices[index] = self._open_choice()
            said_something |= choice.take(part)
        self.content_chunks += said_something
        if not chunk.get("usage"):
            return False
        self.reported, self.usage = chunk["usage"], read_usage(chunk["usage"])
        if self._hide_usage:
            del chunk["usage"]
            chunk.setdefault("choices", [])
        return self._hide_usage


def write_chunks(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
