"""Texts that come in pieces: each piece goes on as soon as nothing in it can be a part of what is looked for."""

from collections.abc import Callable
from typing import Protocol

from spanwell.masking import replace
from spanwell.pii import Found
from spanwell_proxy.guards.finding import CONTEXT, Finder
from spanwell_proxy.guards.placeholders import Placeholders, open_placeholder
from spanwell_proxy.guards.texts import Place


class Flow(Protocol):
    """One text on its way through one guard."""

    def push(self, piece: str) -> str:
        """What may go on, now that this piece has come."""

    def close(self) -> str:
        """The rest: no piece comes any more."""


class FindingFlow:
    """`note` is told of each place; it may raise, and then nothing of that place has gone on."""

    def __init__(self, finder: Finder, note: Callable[[Found], None]) -> None:
        self._finder = finder
        self._note = note
        self._text = ""  # what has gone on is its beginning, kept as context
        self._gone = 0

    def push(self, piece: str) -> str:
        self._text += piece
        return self._advance(max(self._gone, self._finder.open_from(self._text)))

    def close(self) -> str:
        return self._advance(len(self._text))

    def _advance(self, until: int) -> str:
        if until == self._gone:
            return ""
        text, gone = self._text, self._gone
        found = [one for one in self._finder.find(text) if one.start >= gone]
        for one in found:
            if one.start < until < one.end:
                until = one.start
        found = [one for one in found if one.end <= until]
        for one in found:
            self._note(one)
        ready = [Found(one.start - gone, one.end - gone, one.kind) for one in found]
        cut = max(0, until - CONTEXT)
        self._text, self._gone = text[cut:], until - cut
        return replace(text[gone:until], ready, self._finder.write)


class RestoringFlow:
    """Puts back what was taken out of the request."""

    def __init__(self, placeholders: Placeholders, place: Place) -> None:
        self._placeholders = placeholders
        self._place = place
        self._text = ""

    def push(self, piece: str) -> str:
        text = self._text + piece
        until = open_placeholder(text)
        self._text = text[until:]
        return self._placeholders.restore(text[:until], self._place)

    def close(self) -> str:
        text, self._text = self._text, ""
        return text


class Flows:
    """One text through all of them, in their order."""

    def __init__(self, flows: list[Flow]) -> None:
        self._flows = flows

    def push(self, piece: str) -> str:
        for flow in self._flows:
            piece = flow.push(piece)
        return piece

    def close(self) -> str:
        piece = ""
        for flow in self._flows:
            piece = flow.push(piece) + flow.close() if piece else flow.close()
        return piece
