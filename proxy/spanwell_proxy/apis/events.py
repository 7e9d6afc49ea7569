"""Splits a backend's bytes into server-sent events, whatever way they were cut.

Only whole events leave, so a client never sees half of one. What an event says is for the API's own reader.
"""

from abc import ABC, abstractmethod
from typing import Any

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import error_message, error_status
from spanwell_proxy.apis.api import BrokenAnswerError

LONGEST_EVENT_BYTES = 8 * 1024 * 1024


class EventReader(ABC):
    """The part of a Reader that every API has in common."""

    closing = b""  # the last event of a stream, for a client whose backend left it out

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.usage: Usage | None = None
        self.usage_is_partial = False
        self.service_tier: Any = None
        self.content_chunks = 0
        self.done = False
        self._held: list[bytes] = []  # of an event that has not ended
        self._held_bytes = 0
        self._seam = b""  # the last two bytes of it

    @property
    @abstractmethod
    def complete(self) -> bool: ...

    @abstractmethod
    def document(self) -> dict[str, Any] | None: ...

    @abstractmethod
    def _pass(self, event: bytes) -> bytes:
        """What the client gets of one event, without the blank line; the very same object if nothing was changed."""

    def is_replayable(self) -> bool:
        return True

    def feed(self, data: bytes) -> bytes:
        """Whole events of `data` and of what was left before. Raises BrokenAnswerError."""
        if not self._held and data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:
            alone = data[:-2]  # one event, as most backends write them
            left = self._pass(alone)
            return data if left is alone else left and left + b"\n\n"
        seam = self._seam + data
        if b"\n\n" not in seam and b"\n\r\n" not in seam:
            self._hold(data)
            return b""
        data = b"".join((*self._held, data)).replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n") + 2
        self._held, self._held_bytes, self._seam = [], 0, b""
        if end < len(data):
            self._hold(data[end:])
        block = data[:end]
        events = block.split(b"\n\n")[:-1]
        passed = [b"" if self.done else self._pass(event) for event in events]  # after the last word nothing counts
        # Nearly always nothing was taken out, and the bytes go on as they came.
        if all(before is after for before, after in zip(events, passed, strict=True)):
            return block
        return b"".join(event + b"\n\n" for event in passed if event)

    def _hold(self, data: bytes) -> None:
        """Keep it until its event has ended: joined once, since a picture comes in thousands of pieces."""
        self._held.append(data)
        self._held_bytes += len(data)
        self._seam = (self._seam + data)[-2:]
        if self._held_bytes > LONGEST_EVENT_BYTES:
            raise BrokenAnswerError("the backend sent an event without an end")

    def finish(self) -> bytes:
        """The stream has ended: what is left is an event too, though no blank line came after it."""
        rest = self.feed(b"\n\n") if b"".join(self._held).strip() else b""
        return rest + self.closing if self.complete and not self.done else rest


def data_of(event: bytes) -> bytes:
    """What stands behind `data:` in an event; empty for a comment."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    head, _, data = event.partition(b"\ndata:")
    if head.startswith(b"event:") and b"\n" not in head and b"\n" not in data:
        return data.strip()
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].strip() for line in lines)


def write_event(event: dict[str, Any]) -> bytes:
    """An event named as its own `type` says."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


class TypedReader(EventReader):
    """Of a stream whose events name their type. Nothing is taken out of it."""

    @abstractmethod
    def _take(self, kind: str, event: dict[str, Any]) -> None:
        """Note what the event says."""

    def _pass(self, event: bytes) -> bytes:
        payload = data_of(event)
        if not payload or payload == b"[DONE]":
            return event
        try:
            said = orjson.loads(payload)
            if "type" not in said and said.get("error"):  # as backends say it that speak OpenAI's chat first
                raise BrokenAnswerError(error_message(said["error"]), error_status(said["error"]))
            self._take(str(said.get("type") or ""), said)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise BrokenAnswerError("the backend sent an event that is not of this API") from error
        return event
