"""Reads a stream of Anthropic's events as it passes, and puts its message together."""

from collections.abc import Mapping
from typing import Any

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.answers import error_message, error_status
from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.events import TypedReader
from spanwell_proxy.apis.usage import read_count, read_detail

INPUT_KEYS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
# A delta's type, the key of it that holds a piece, and the key of the block that the pieces make.
PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
}


def read_message_usage(reported: Mapping[str, Any]) -> Usage:
    """Anthropic's `usage` object: `input_tokens` is what was neither read from the cache nor written to it."""
    fresh, read, written = (read_count(reported.get(key)) for key in INPUT_KEYS)
    kept = reported.get("cache_creation")
    received = read_count(reported.get("output_tokens"))
    return Usage(
        input=fresh + read + written,
        output=received,
        cached=read,
        cache_write=written,
        cache_write_1h=min(read_detail(kept, "ephemeral_1h_input_tokens"), written),
        reasoning=min(read_detail(reported.get("output_tokens_details"), "thinking_tokens"), received),
    )


class Block:
    """One block of the content, put together from its deltas."""

    __slots__ = ("begun", "citations", "pieces")

    def __init__(self, begun: dict[str, Any]) -> None:
        self.begun = begun
        self.pieces: dict[str, list[str]] = {}
        self.citations: list[Any] = []

    def take(self, delta: dict[str, Any]) -> bool:
        """False for a delta of a kind that is not known here."""
        kind = delta.get("type")
        if kind == "citations_delta":
            self.citations.append(delta.get("citation"))
            return True
        if kind not in PIECES:
            return False
        key, whole = PIECES[kind]
        self.pieces.setdefault(whole, []).append(str(delta.get(key) or ""))
        return True

    def whole(self) -> dict[str, Any]:
        """As a unary answer would have held it."""
        block = dict(self.begun)
        for key, pieces in self.pieces.items():
            text = "".join(pieces)
            block[key] = _undo_json(text, self.begun.get("input")) if key == "input" else text
        if self.citations:
            block["citations"] = self.citations
        return block


class MessageReader(TypedReader):
    """Of the events of a message."""

    closing = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def __init__(self) -> None:
        super().__init__()
        self.message: dict[str, Any] = {}
        self.blocks: dict[int, Block] = {}
        self.usage_is_partial = True
        self._reported: dict[str, Any] = {}
        self._stop: dict[str, Any] = {"stop_reason": None, "stop_sequence": None}
        self._has_unknown = False

    @property
    def complete(self) -> bool:
        return self.done or self._stop["stop_reason"] is not None

    def is_replayable(self) -> bool:
        return not self._has_unknown

    def document(self) -> dict[str, Any] | None:
        if not self.blocks and not self.complete:
            return None
        content = [block.whole() for _, block in sorted(self.blocks.items())]
        return {**self.message, "content": content, **self._stop, "usage": self._reported}

    def _take(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "content_block_delta":
            self.content_chunks += 1
            self._has_unknown |= not self.blocks[event["index"]].take(event["delta"])
        elif kind == "content_block_start":
            self.blocks[int(event["index"])] = Block(dict(event["content_block"]))
        elif kind == "message_start":
            self._begin(event["message"])
        elif kind == "message_delta":
            self._stop.update(event.get("delta") or {})
            self._note_usage(event.get("usage"), partial=False)
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            raise BrokenAnswerError(error_message(event.get("error")), error_status(event.get("error")))

    def _begin(self, message: dict[str, Any]) -> None:
        self.message = dict(message)
        self.id, self.model = str(message.get("id") or ""), str(message.get("model") or "")
        self._note_usage(message.get("usage"), partial=True)

    def _note_usage(self, reported: Any, *, partial: bool) -> None:
        if not isinstance(reported, dict):
            return
        # Some name all of the input at the start and again at the end, others a nought at one of the two.
        known = any(reported.get(key) for key in INPUT_KEYS)
        said = {key: value for key, value in reported.items() if value is not None and (known or key not in INPUT_KEYS)}
        self._reported = {**self._reported, **said}
        self.service_tier = self._reported.get("service_tier")
        if any(self._reported.get(key) for key in (*INPUT_KEYS, "output_tokens")):
            self.usage = read_message_usage(self._reported)
        self.usage_is_partial = partial


def _undo_json(text: str, otherwise: Any) -> Any:
    """A tool's input; what is cut short stays text."""
    try:
        return orjson.loads(text) if text else otherwise
    except ValueError:
        return text
