"""Passes a stream of bytes on as they come: a sound that is played while it is made."""

from typing import Any

from spanwell.pricing import Usage
from spanwell_proxy.apis.api import Document


class RawReader:
    """A Reader that looks into nothing: the answer is whole when the connection says so."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.usage: Usage | None = Usage()
        self.usage_is_partial = False
        self.service_tier: Any = None
        self.content_chunks = 0
        self.done = False
        self._size_bytes = 0

    @property
    def complete(self) -> bool:
        return self.done

    def feed(self, data: bytes) -> bytes:
        self.content_chunks += 1
        self._size_bytes += len(data)
        return data

    def finish(self) -> bytes:
        self.done = True
        return b""

    def document(self) -> Document | None:
        return {"size_bytes": self._size_bytes} if self._size_bytes else None

    def is_replayable(self) -> bool:
        return False
