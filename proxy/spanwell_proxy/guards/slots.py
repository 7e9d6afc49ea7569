"""Where the pieces of a text stand in the events of a stream, in whichever API. Pure; shapes are not trusted."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from spanwell_proxy.guards.texts import Place

DELTA_TEXTS: Final = ("content", "reasoning", "reasoning_content", "refusal")
DELTA_KINDS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
BLOCK_KINDS: Final = {"text": "text_delta", "thinking": "thinking_delta"}
LAST: Final = (".completed", ".incomplete", ".cancelled", "message_stop")
Event = dict[str, Any]


class Slot(NamedTuple):
    """A piece at `holder[key]`. `whose` names the choice, block or item it belongs to, `text` which of its texts.

    `again` makes an event that says more of the same text, and nothing else.
    """

    holder: Event
    key: str
    whose: object
    text: object
    place: Place
    again: Callable[[str], Event]


def find_slots(event: Event) -> Iterator[Slot]:
    """The pieces that an event brings."""
    kind = event.get("type")
    if kind == "content_block_delta" or kind == "content_block_start":
        yield from _of_block(event)
    elif isinstance(kind, str) and kind.endswith(".delta"):
        if isinstance(event.get("delta"), str):
            yield _of_item(event, kind)
    else:
        for choice in _objects(event.get("choices")):
            yield from _of_choice(event, choice)


def find_ends(event: Event) -> Iterator[object]:
    """Whose texts end with an event; None: all."""
    kind = event.get("type")
    if isinstance(kind, str):
        if kind.endswith(LAST):
            yield None
        elif kind == "content_block_stop":
            yield event.get("index")
        elif kind.endswith(".done"):
            yield event.get("output_index")
    for choice in _objects(event.get("choices")):
        if choice.get("finish_reason"):
            yield choice.get("index")


def drop_logprobs(event: Event) -> bool:
    """They name the tokens of a text that is changed."""
    dropped = False
    for choice in _objects(event.get("choices")):
        if choice.get("logprobs"):
            choice["logprobs"], dropped = None, True
    if event.get("logprobs"):
        event["logprobs"], dropped = [], True
    return dropped


def _of_choice(event: Event, choice: Event) -> Iterator[Slot]:
    index = choice.get("index")
    delta: Event = choice["delta"] if isinstance(choice.get("delta"), dict) else {}

    def again(**said: Any) -> Event:
        head = {key: value for key, value in event.items() if key != "usage"}
        return {**head, "choices": [{"index": index, "finish_reason": None, "logprobs": None, **said}]}

    if isinstance(choice.get("text"), str):
        yield Slot(choice, "text", index, "text", Place("assistant"), lambda rest: again(text=rest))
    for key in DELTA_TEXTS:
        if isinstance(delta.get(key), str) and delta[key]:
            yield Slot(delta, key, index, key, Place("assistant"), partial(_say, again, key))
    called = delta.get("function_call")  # what tools were, before there were several
    if isinstance(called, dict) and isinstance(called.get("arguments"), str):
        place = Place("assistant", is_json=True)
        yield Slot(called, "arguments", index, "function_call", place, partial(_call_on, again))
    for call in _objects(delta.get("tool_calls")):
        function, at = call.get("function"), call.get("index")
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            place = Place("assistant", is_json=True)
            yield Slot(function, "arguments", index, ("tool", at), place, partial(_go_on, again, at))


def _go_on(again: Callable[..., Event], at: object, rest: str) -> Event:
    return again(delta={"tool_calls": [{"index": at, "function": {"arguments": rest}}]})


def _call_on(again: Callable[..., Event], rest: str) -> Event:
    return again(delta={"function_call": {"arguments": rest}})


def _say(again: Callable[..., Event], key: str, rest: str) -> Event:
    return again(delta={key: rest})


def _of_block(event: Event) -> Iterator[Slot]:
    index = event.get("index")
    begun, delta = event.get("content_block"), event.get("delta")
    part = delta if isinstance(delta, dict) else begun if isinstance(begun, dict) else {}
    kind = str(part.get("type"))
    kind = BLOCK_KINDS.get(kind, "") if part is begun else kind
    key = DELTA_KINDS.get(kind, "")

    def again(rest: str) -> Event:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: rest}}

    if isinstance(part.get(key), str):
        yield Slot(part, key, index, key, Place("assistant", is_json=key == "partial_json"), again)


def _of_item(event: Event, kind: str) -> Slot:
    text = (kind, event.get("content_index"), event.get("summary_index"))
    place = Place("assistant", is_json="arguments" in kind)
    return Slot(event, "delta", event.get("output_index"), text, place, lambda rest: {**event, "delta": rest})


def _objects(value: Any) -> Iterator[Event]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
