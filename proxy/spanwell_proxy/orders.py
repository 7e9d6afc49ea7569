"""Calls that the proxy makes of itself: lines of batches, moderations, embeddings, second opinions, shadow copies.

They take the same steps as a client's, so that routing, limits and traces hold for them; only nobody waits at a socket.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from spanwell_proxy.apis.api import Api
from spanwell_proxy.call import Call, Message, begin_call
from spanwell_proxy.caller import Caller
from spanwell_proxy.routing.asked import Assignment


@dataclass(frozen=True)
class Order:
    """What to ask, and in whose name. With `parent` the call is part of that one's trace, beneath its span.

    `purpose` marks calls that are Spanwell's own, which are no user's requests: they are stored, and counted apart.
    """

    api: Api
    body: bytes
    caller: Caller
    purpose: str = ""
    parent: Call | None = None
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    assignment: Assignment | None = None  # the arm of an experiment that a shadow copy tries


@dataclass(frozen=True)
class Answered:
    """What it got."""

    status: int
    request_id: str
    body: bytes
    retry_after_s: float | None = None


class Exchange:
    """The client's side of a call, without a client."""

    def __init__(self, body: bytes) -> None:
        self._body = [body]
        self._parts: list[bytes] = []
        self._retry_after = b""

    async def receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await asyncio.Event().wait()  # who asked does not leave; it cancels the task
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._retry_after = dict(message["headers"]).get(b"retry-after", b"")
        else:
            self._parts.append(message.get("body", b""))

    def answered(self, call: Call) -> Answered:
        wait = float(self._retry_after) if self._retry_after.isdigit() else None
        return Answered(call.status, call.request_id, b"".join(self._parts), wait)


def take_order(order: Order) -> tuple[Call, Exchange]:
    """The call that this order is, ready for its steps: who calls is known."""
    exchange = Exchange(order.body)
    call = begin_call(order.api, order.headers, exchange.receive, exchange.send)
    call.caller, call.purpose, call.copied = order.caller, order.purpose, order.assignment
    if order.parent:
        call.trace_id, call.parent_id, call.flags = order.parent.trace_id, order.parent.span_id, order.parent.flags
    return call, exchange
