"""Cursors: where a page ended, as an opaque word that the next question brings back."""

import base64
import binascii
from typing import NamedTuple

from spanwell.errors import QueryError


class Cursor(NamedTuple):
    """The last row of a page, by its time in microseconds and its id; the next page begins behind it."""

    ts_us: int
    id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"{self.ts_us}.{self.id}".encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor | None":
        """None stands for the first page. Raises QueryError."""
        if not text:
            return None
        try:
            ts_us, _, name = base64.urlsafe_b64decode(text).decode().partition(".")
            return cls(int(ts_us), name)
        except (binascii.Error, ValueError) as error:
            raise QueryError("cursor: pass what `next` of the page before said") from error
