"""Reads a stream of OpenAI's typed events as it passes. The last of them holds the whole response."""

from typing import Any

from spanwell_proxy.apis.answers import error_message, error_status
from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.events import TypedReader
from spanwell_proxy.apis.usage import read_usage

LAST = frozenset(("response.completed", "response.incomplete", "response.cancelled"))
FAILED = frozenset(("response.failed", "error"))
# Where the pieces of a delta belong in an item, until it comes whole.
TEXTS = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
}


class Item:
    """One item of the output, put together from its deltas as long as it has not come whole."""

    __slots__ = ("begun", "is_whole", "pieces")

    def __init__(self) -> None:
        self.begun: dict[str, Any] = {}
        self.pieces: dict[str, list[str]] = {}
        self.is_whole = False

    def whole(self) -> dict[str, Any]:
        """As far as it is known."""
        if self.is_whole:
            return self.begun
        texts = {key: "".join(pieces) for key, pieces in self.pieces.items()}
        if "arguments" in texts:
            return {"type": "function_call", **self.begun, "arguments": texts["arguments"]}
        if "reasoning" in texts:
            summary = [{"type": "summary_text", "text": texts["reasoning"]}]
            return {"type": "reasoning", **self.begun, "summary": summary}
        keys = {"output_text": "text", "refusal": "refusal"}
        content = [{"type": kind, key: texts[kind]} for kind, key in keys.items() if kind in texts]
        return {"type": "message", "role": "assistant", **self.begun, **({"content": content} if content else {})}


class ResponseReader(TypedReader):
    """Of the events of a response."""

    def __init__(self) -> None:
        super().__init__()
        self.response: dict[str, Any] = {}
        self.items: dict[int, Item] = {}

    @property
    def complete(self) -> bool:
        return self.done

    def is_replayable(self) -> bool:
        return self.done

    def document(self) -> dict[str, Any] | None:
        if not self.items and not self.done:
            return None
        # Some backends leave the output out of the last event, since all of it was sent before.
        output = (self.done and self.response.get("output")) or [item.whole() for _, item in sorted(self.items.items())]
        return {**self.response, "output": output}

    def _take(self, kind: str, event: dict[str, Any]) -> None:
        if kind in FAILED:
            error = event["response"].get("error") if kind == "response.failed" else event.get("error") or event
            raise BrokenAnswerError(error_message(error or {}), error_status(error))
        if isinstance(event.get("response"), dict):
            self._note(event["response"])
            self.done = self.done or kind in LAST
        elif kind.endswith(".delta"):
            self.content_chunks += 1
            if kind in TEXTS:
                self._find(event).pieces.setdefault(TEXTS[kind], []).append(str(event.get("delta") or ""))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item, is_whole = self._find(event), kind.endswith(".done")
            item.begun, item.is_whole = dict(event["item"]), is_whole
            self.content_chunks += is_whole and not item.pieces

    def _find(self, event: dict[str, Any]) -> Item:
        return self.items.setdefault(int(event.get("output_index") or 0), Item())

    def _note(self, response: dict[str, Any]) -> None:
        self.response = response
        self.id = self.id or str(response.get("id") or "")
        self.model = str(response.get("model") or self.model)
        self.service_tier = response.get("service_tier") or self.service_tier
        if isinstance(reported := response.get("usage"), dict):
            self.usage = read_usage(reported)
