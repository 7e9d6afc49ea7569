"""A stream under guard: its reader, with the texts of its events changed, held back, or ended by what guards say.

Only as much is held back as may yet become a find; whatever else an event says goes on as it came.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from spanwell_proxy.apis.api import Document, Reader
from spanwell_proxy.apis.events import data_of
from spanwell_proxy.guards.flows import Flow
from spanwell_proxy.guards.slots import Event, Slot, drop_logprobs, find_ends, find_slots
from spanwell_proxy.guards.texts import Place

WHOLE_TEXTS: Final = ("text", "arguments", "refusal")  # that an event tells again as a whole
WHOLE_PARTS: Final = ("item", "part")
TELLING_AGAIN: Final = (".done", ".completed", ".incomplete", ".cancelled")


class Held(NamedTuple):
    """A text that is under way, and where its last piece stood."""

    flow: Flow
    head: bytes  # the event's lines before its data
    event: Event
    slot: Slot


class GuardedReader:
    """The reader of a call's answer, seen through its guards. What is not named here is the reader's own."""

    def __init__(
        self,
        reader: Reader,
        open_flow: Callable[[Place], Flow] | None,
        change: Callable[[Document], Document],
        may_go_on: Callable[[], bool],
    ) -> None:
        """`change` does to a whole answer what the flows do to its pieces; nothing leaves before `may_go_on`."""
        self._reader = reader
        self._open_flow = open_flow
        self._change = change
        self._may_go_on = may_go_on
        self._texts: dict[tuple[object, object], Held] = {}
        self._kept: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def begin(self, passed: bytes, *, ended: bool) -> bytes:
        """What the reader had let through before it was seen through guards."""
        return self._hold(self._pass(passed) + (self._end(None) if ended else b""))

    def feed(self, data: bytes) -> bytes:
        return self._hold(self._pass(self._reader.feed(data)))

    def finish(self) -> bytes:
        return self._hold(self._pass(self._reader.finish()) + self._end(None))

    def document(self) -> Document | None:
        document = self._reader.document()
        return self._change(document) if document else document

    def release(self) -> bytes:
        """What was held back until all guards had spoken."""
        kept, self._kept = b"".join(self._kept), []
        return kept

    def _hold(self, data: bytes) -> bytes:
        if self._may_go_on():
            return self.release() + data if self._kept else data
        self._kept.append(data)
        return b""

    def _pass(self, block: bytes) -> bytes:
        if not block or self._open_flow is None:
            return block
        return b"".join(self._pass_event(event, self._open_flow) for event in block.split(b"\n\n") if event)

    def _pass_event(self, event: bytes, open_flow: Callable[[Place], Flow]) -> bytes:
        payload = data_of(event)
        if not payload.startswith(b"{"):
            return (self._end(None) if payload == b"[DONE]" else b"") + event + b"\n\n"
        try:
            head, document = event[: event.find(b"data:")], orjson.loads(payload)
        except ValueError:  # its API does not say what its events are
            return event + b"\n\n"
        slots = list(find_slots(document))
        pieces = [slot.holder[slot.key] for slot in slots]
        for slot, piece in zip(slots, pieces, strict=True):
            held = self._texts.get((slot.whose, slot.text))
            flow = held.flow if held else open_flow(slot.place)
            slot.holder[slot.key] = flow.push(piece)
            self._texts[slot.whose, slot.text] = Held(flow, head, document, slot)
        before = b"".join(self._end(whose, document) for whose in find_ends(document))
        is_changed = drop_logprobs(document) or any(
            slot.holder[slot.key] != piece for slot, piece in zip(slots, pieces, strict=True)
        )
        if not slots and (changed := self._tell_again(document)) is not document:
            document, is_changed = changed, True
        return before + (_write(head, document) if is_changed else event + b"\n\n")

    def _end(self, whose: object, within: Event | None = None) -> bytes:
        """The rest of the texts that end (None: of all), as events; what is left of one in `within` goes in there."""
        events = b""
        for name in [name for name in self._texts if whose is None or name[0] == whose]:
            held = self._texts.pop(name)
            rest = held.flow.close()
            if held.event is within:
                held.slot.holder[held.slot.key] += rest
            elif rest:
                events += _write(held.head, held.slot.again(rest))
        return events

    def _tell_again(self, event: Event) -> Event:
        """The last events of responses tell each text once more, as a whole."""
        if not str(event.get("type", "")).endswith(TELLING_AGAIN):
            return event
        changes: Event = {}
        if isinstance(event.get("response"), dict):
            changes["response"] = self._change(event["response"])
        for key in (*WHOLE_PARTS, *WHOLE_TEXTS):
            if isinstance(event.get(key), dict):
                changes[key] = self._change({"output": [event[key]]})["output"][0]
            elif isinstance(event.get(key), str):
                changes[key] = self._change({"output": [{key: event[key]}]})["output"][0][key]
        return {**event, **changes} if any(changes[key] is not event[key] for key in changes) else event


def _write(head: bytes, event: Event) -> bytes:
    # An event that begins a block is no pattern for one that goes on with it.
    if head.startswith(b"event:") and isinstance(event.get("type"), str):
        head = b"event: " + event["type"].encode() + b"\n"
    return head + b"data: " + orjson.dumps(event) + b"\n\n"
