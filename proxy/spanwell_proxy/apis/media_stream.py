"""Reads the streams of pictures and transcripts: typed events, of which the last tells the usage."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import error_message, error_status
from spanwell_proxy.apis.api import BrokenAnswerError, Document
from spanwell_proxy.apis.events import EventReader, data_of


class MediaReader(EventReader):
    """`read_usage` reads the `usage` of the event whose type ends with `.done` or `.completed`."""

    def __init__(self, read_usage: Callable[[Mapping[str, Any]], Usage]) -> None:
        super().__init__()
        self._read_usage = read_usage
        self._last: Document | None = None

    @property
    def complete(self) -> bool:
        return self.done

    def document(self) -> Document | None:
        return self._last

    def is_replayable(self) -> bool:
        return False

    def _pass(self, event: bytes) -> bytes:
        payload = data_of(event)
        if not payload or payload == b"[DONE]":
            return event
        try:
            told = orjson.loads(payload)
            kind = str(told.get("type") or "")
        except (ValueError, AttributeError) as error:
            raise BrokenAnswerError("the backend sent an event that is not of this API") from error
        if told.get("error") or kind == "error":
            raise BrokenAnswerError(error_message(told.get("error") or told), error_status(told.get("error") or told))
        self.content_chunks += 1
        if kind.endswith((".done", ".completed")):
            self.done = True
            self._last = told
            reported = told.get("usage")
            self.usage = self._read_usage(reported) if isinstance(reported, dict) else None
        return event
