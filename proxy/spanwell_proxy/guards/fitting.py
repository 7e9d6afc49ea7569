"""Makes a conversation fit: the system's words and the newest turns stay, turns in the middle go. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

SYSTEM = ("system", "developer")
Message = Any
Unit = list[Message]  # messages that mean nothing without each other: a tool's call with its results


def fit(messages: Sequence[Message], room: int, count: Callable[[Message], int]) -> list[Message] | None:
    """As many of the newest turns as have room in tokens beside the system's words; None where not even the last has.

    What is kept after the system's words begins with somebody asking: models refuse an answer to nothing.
    """
    start = next((at for at, one in enumerate(messages) if _role(one) not in SYSTEM), len(messages))
    head, units = list(messages[:start]), _group(messages[start:])
    left = room - sum(map(count, head))
    kept: list[Unit] = []
    for unit in reversed(units):
        left -= sum(map(count, unit))
        if left < 0:
            break
        kept.insert(0, unit)
    while len(kept) > 1 and len(kept) < len(units) and not _asks(kept[0]):
        kept.pop(0)
    return head + [one for unit in kept for one in unit] if kept else None


def _group(messages: Sequence[Message]) -> list[Unit]:
    """A message that calls tools and all that answers it are one unit."""
    units: list[Unit] = []
    for one in messages:
        if units and _answers_tool(one):
            units[-1].append(one)
        elif units and _calls_tool(one) and _is_item(one) and _is_item(units[-1][-1]) and _calls_tool(units[-1][-1]):
            units[-1].append(one)  # calls side by side, each an item of its own
        else:
            units.append([one])
    return units


def _asks(unit: Unit) -> bool:
    return _role(unit[0]) == "user" and not _answers_tool(unit[0])


def _calls_tool(one: Message) -> bool:
    return _is_item(one, "_call") or bool(isinstance(one, dict) and one.get("tool_calls")) or _holds(one, "tool_use")


def _answers_tool(one: Message) -> bool:
    return _role(one) in ("tool", "function") or _is_item(one, "_call_output") or _holds(one, "tool_result")


def _is_item(one: Message, ending: str = "") -> bool:
    """Of the responses API: what is no message has a type of its own, and no role."""
    kind = one.get("type") if isinstance(one, dict) else None
    return isinstance(kind, str) and kind != "message" and kind.endswith(ending)


def _holds(one: Message, kind: str) -> bool:
    content = one.get("content") if isinstance(one, dict) else None
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == kind for part in content)


def _role(one: Message) -> str:
    return str(one.get("role") or "") if isinstance(one, dict) else "user"
