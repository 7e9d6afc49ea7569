"""What was taken out of a request, and puts it back where the answer names it. Lives as long as its call."""

import re
from typing import Final

import orjson

from spanwell_proxy.guards.texts import Place

PLACEHOLDER: Final = re.compile(r"\[[A-Z_]{2,16}_[0-9a-f]{10}\]")
BEGUN: Final = re.compile(r"\[[A-Z_]{0,16}(?:_[0-9a-f]{0,10})?\Z")
LONGEST: Final = 40


class Placeholders:
    """`values` by placeholder. Only what this very call had taken out is ever put back: others' mean nothing here."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def note(self, placeholder: str, value: str) -> str:
        self.values[placeholder] = value
        return placeholder

    def restore(self, text: str, place: Place) -> str:
        """`text` with the values in place of their names; escaped, where it is JSON."""
        if "[" not in text or not self.values:
            return text
        return PLACEHOLDER.sub(lambda match: self._value(match[0], place.is_json), text)

    def _value(self, placeholder: str, is_json: bool) -> str:
        value = self.values.get(placeholder, placeholder)
        return orjson.dumps(value).decode()[1:-1] if is_json else value


def open_placeholder(text: str) -> int:
    """Where a placeholder begins that is not whole yet; the end of the text if none does."""
    begun = BEGUN.search(text, max(0, len(text) - LONGEST))
    return begun.start() if begun else len(text)
