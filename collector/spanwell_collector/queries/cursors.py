"""Cursors: where a page ended, as an opaque word that the next question brings back."""

import base64
import binascii
import re
from typing import Final, NamedTuple

from spanwell.errors import QueryError

WRITTEN: Final = re.compile(r"(\d{1,18})\.(.*)", re.DOTALL)


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
            found = WRITTEN.fullmatch(base64.urlsafe_b64decode(text).decode())
        except (binascii.Error, ValueError):
            found = None
        if found is None:
            raise QueryError("cursor: pass what `next` of the page before said")
        return cls(int(found[1]), found[2])
