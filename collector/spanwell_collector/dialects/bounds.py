"""How much of a span is kept: what a hostile or careless sender sends beyond that is cut, and counted."""

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from spanwell import conventions as c
from spanwell_collector import telemetry
from spanwell_collector.dialects.jsontext import to_json, to_text, undo_json
from spanwell_collector.dialects.values import Attributes, read_attributes, write_attributes

MOST_ATTRIBUTES: Final = 256  # OpenTelemetry's SDKs stop at 128
MOST_EVENTS: Final = 128  # what the SDKs stop at; a streamed answer's chunks are no events that are kept
MOST_EVENT_ATTRIBUTES: Final = 32
LONGEST_KEY: Final = 256  # characters: a key is stored again with every span
LONGEST_NAME: Final = 1024  # characters
LONGEST_VALUE: Final = 64 << 10  # characters: a stack trace, a tool's definition
LONGEST_MESSAGES: Final = 1 << 20  # characters of JSON: a context window of 200,000 tokens, and what counts as a text
SHORTEST_CONTENT: Final = 128 << 10  # characters that are kept of it as text, when nothing else is short enough
LONGEST_RESOURCE_VALUE: Final = 4 << 10  # characters: a resource is stored with each of its spans
TEXTS: Final = frozenset({c.INPUT_MESSAGES, c.OUTPUT_MESSAGES, c.INPUT, c.OUTPUT})
FIRST: Final = ("gen_ai.", "spanwell.")  # kept when there are too many
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
NESTED: Final = ("array_value", "kvlist_value")
MOST_ENDS: Final = 64  # messages that are kept at each end of too many
TEXT_STEPS: Final = (
    64 << 10,
    16 << 10,
    4 << 10,
    1 << 10,
    128,
)  # characters a text of messages may have, until they fit


def is_in_bounds(span: Any) -> bool:
    """Whether a span of ours is small enough to stay as it was sent. Its keys are not looked at."""
    return has_few_parts(span) and bool(span.ByteSize() <= LONGEST_VALUE)


def has_few_parts(span: Any) -> bool:
    """`is_in_bounds` of a span that is known to be short."""
    return len(span.attributes) <= MOST_ATTRIBUTES and len(span.events) <= MOST_EVENTS


def bound_attributes(attributes: Attributes) -> Attributes:
    """What is kept of a span's attributes, lists and dictionaries as JSON text; the same object where that is all."""
    kept = _clean_keys(attributes)
    if len(kept) > MOST_ATTRIBUTES:
        telemetry.CUT.labels("attribute_count").inc(len(kept) - MOST_ATTRIBUTES)
        names = sorted(kept, key=lambda name: not name.startswith(FIRST))[:MOST_ATTRIBUTES]
        kept = {name: kept[name] for name in names}
    if nested := {name: to_json(value) for name, value in kept.items() if isinstance(value, list | dict)}:
        kept = kept | nested
    long = [name for name, value in kept.items() if isinstance(value, str | bytes) and len(value) > LONGEST_VALUE]
    if not long:
        return kept
    return kept | {name: _cut_content(name, kept[name]) if name in TEXTS else cut_text(kept[name]) for name in long}


def bound_span(span: Any) -> None:
    """Bring everything but the attributes into bounds."""
    if len(span.name) > LONGEST_NAME:
        span.name = cut_text(span.name, LONGEST_NAME)
    if len(span.status.message) > LONGEST_VALUE:
        span.status.message = cut_text(span.status.message)
    if (surplus := len(span.events) - MOST_EVENTS) > 0:
        telemetry.CUT.labels("event_count").inc(surplus)
        del span.events[MOST_EVENTS:]
    for event in span.events:
        if len(event.attributes) > MOST_EVENT_ATTRIBUTES:
            telemetry.CUT.labels("attribute_count").inc(len(event.attributes) - MOST_EVENT_ATTRIBUTES)
            del event.attributes[MOST_EVENT_ATTRIBUTES:]
        _bound_pairs(event, LONGEST_VALUE)
        if len(event.name) > LONGEST_NAME:
            event.name = cut_text(event.name, LONGEST_NAME)


def bound_resource(resource: Any) -> None:
    """Bring a resource's attributes into bounds."""
    if (surplus := len(resource.attributes) - MOST_ATTRIBUTES) > 0:
        telemetry.CUT.labels("attribute_count").inc(surplus)
        del resource.attributes[MOST_ATTRIBUTES:]
    _bound_pairs(resource, LONGEST_RESOURCE_VALUE)


def cut_text(text: str | bytes, longest: int = LONGEST_VALUE) -> Any:
    """The first characters of `text`, and how many went."""
    if len(text) <= longest:
        return text
    telemetry.CUT.labels("value_length").inc()
    if isinstance(text, bytes):
        return text[:longest]
    return f"{text[:longest]} [{len(text) - longest} characters cut]"


def _bound_pairs(owner: Any, longest: int) -> None:
    """Of a resource or an event, which is read only where one of its attributes may be too long or badly named, or is a
    list: the engine takes lists of a span alone."""
    if (
        owner.ByteSize() <= longest
        and _are_sound([pair.key for pair in owner.attributes])
        and not any(pair.value.WhichOneof("value") in NESTED for pair in owner.attributes)
    ):
        return
    before = read_attributes(owner.attributes)
    after = {
        name: cut_text(to_text(value) if isinstance(value, list | dict) else value, longest)
        if isinstance(value, str | bytes | list | dict)
        else value
        for name, value in _clean_keys(before).items()
    }
    write_attributes(owner.attributes, before, after)


def _are_sound(names: Collection[str]) -> bool:
    return not names or ("" not in names and "".join(names).isprintable() and max(map(len, names)) <= LONGEST_KEY)


def _clean_keys(attributes: Attributes) -> Attributes:
    if _are_sound(attributes):
        return attributes
    cleaned: Attributes = {}
    for name, value in attributes.items():
        clean = CONTROL.sub("", name)[:LONGEST_KEY]
        if clean != name:
            telemetry.CUT.labels("key").inc()
        if clean:
            cleaned.setdefault(clean, value)
    return cleaned


def _cut_content(name: str, text: str) -> str:
    """JSON with its longest texts cut, so that it is still JSON, and messages are messages; of too many the ends."""
    if len(text) <= LONGEST_MESSAGES:
        return text
    telemetry.CUT.labels("messages_length").inc()
    content = undo_json(text)
    if content is text:
        return str(cut_text(text, LONGEST_MESSAGES))
    for shorter in _list_shorter(content):
        if 0 < len(shorter) <= LONGEST_MESSAGES:
            return shorter
    start = cut_text(text, SHORTEST_CONTENT)
    return to_json([_say(start)] if name in (c.INPUT_MESSAGES, c.OUTPUT_MESSAGES) else start)


def _list_shorter(content: Any) -> Iterator[str]:
    try:
        for longest in TEXT_STEPS:
            yield to_json(_shorten(content, longest))
        if isinstance(content, list) and len(content) > 2 * MOST_ENDS:
            mark = _say(f"[{len(content) - 2 * MOST_ENDS} messages cut]")
            yield to_json(_shorten([*content[:MOST_ENDS], mark, *content[-MOST_ENDS:]], TEXT_STEPS[-1]))
    except RecursionError:  # it nests too deep to be gone through
        return


def _say(text: str) -> dict[str, Any]:
    return {"role": "system", "parts": [{"type": "text", "content": text}]}


def _shorten(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]} [{len(value) - longest} characters cut]"
    if isinstance(value, list):
        return [_shorten(item, longest) for item in value]
    if isinstance(value, dict):
        return {key: _shorten(item, longest) for key, item in value.items()}
    return value
