"""Puts the choices of a streamed chat completion together from their deltas."""

from typing import Any

from spanwell_proxy.apis.chunks import ChunkReader

TEXTS = ("content", "reasoning", "reasoning_content", "refusal")
KNOWN = frozenset(("role", "tool_calls", *TEXTS))


class Choice:
    """One choice, put together from its deltas."""

    __slots__ = ("finish_reason", "is_partial", "texts", "tool_calls")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None
        self.is_partial = False  # something was said that is not put together here: audio, annotations

    def take(self, part: dict[str, Any]) -> bool:
        """Take one delta in; false if it only names the role."""
        self.finish_reason = part.get("finish_reason") or self.finish_reason
        delta = part.get("delta") or {}
        for key in TEXTS:
            if (text := delta.get(key)) and isinstance(text, str):
                self.texts.setdefault(key, []).append(text)
        for call in delta.get("tool_calls") or ():
            self._add_tool_call(call)
        if not delta.keys() <= KNOWN:
            self.is_partial |= any(delta[key] for key in delta.keys() - KNOWN)
        return "role" not in delta or bool(delta.get("tool_calls") or any(delta.get(key) for key in TEXTS))

    def message(self) -> dict[str, Any]:
        """The whole message, as a unary answer would have held it."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message.update({key: "".join(pieces) for key, pieces in self.texts.items()})
        if self.tool_calls:
            message["tool_calls"] = [call for _, call in sorted(self.tool_calls.items())]
        return message

    def whole(self, index: int) -> dict[str, Any]:
        """The whole choice, likewise."""
        return {"index": index, "message": self.message(), "logprobs": None, "finish_reason": self.finish_reason}

    def _add_tool_call(self, call: dict[str, Any]) -> None:
        whole = self.tool_calls.setdefault(
            int(call.get("index") or 0), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        whole["id"] = call.get("id") or whole["id"]
        function = call.get("function") or {}
        whole["function"]["name"] += function.get("name") or ""
        whole["function"]["arguments"] += function.get("arguments") or ""


class ChatReader(ChunkReader[Choice]):
    """Of the chunks of a chat completion."""

    name, kind = "chat completion", "chat.completion"

    def _open_choice(self) -> Choice:
        return Choice()
