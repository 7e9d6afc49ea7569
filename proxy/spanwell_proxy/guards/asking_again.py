"""Asks a model once more, and tells it what was wrong with its answer."""

from collections.abc import Mapping
from typing import Any

from spanwell_proxy.guards.texts import list_spoken

PLEA = "{told}\nAnswer again, with nothing but JSON that follows the schema."


def ask_again(request: Mapping[str, Any], answer: Mapping[str, Any], told: str) -> dict[str, Any] | None:
    """The request with the answer and the complaint behind it; None for an API that has no turns."""
    key = next((key for key in ("messages", "input") if request.get(key)), None)
    if key is None:
        return None
    turns = request[key] if isinstance(request[key], list) else [{"role": "user", "content": request[key]}]
    said = {"role": "assistant", "content": "\n".join(list_spoken(answer)) or "(nothing)"}
    return {**request, key: [*turns, said, {"role": "user", "content": PLEA.format(told=told)}]}
