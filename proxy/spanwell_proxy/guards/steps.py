"""The guards' part in a call's life: the request, before anything is made of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, cast

import orjson

from spanwell_proxy.apis.forms import Part
from spanwell_proxy.apis.paths import match_path
from spanwell_proxy.call import Call
from spanwell_proxy.caller import Caller
from spanwell_proxy.guarded import PURPOSE
from spanwell_proxy.guards.guarding import Guarding
from spanwell_proxy.guards.judging import GuardFailedError, Guards
from spanwell_proxy.guards.texts import ASKED
from spanwell_proxy.guards.tokens import LETTERS_A_TOKEN
from spanwell_proxy.orders import Answered, Order

OURSELVES = Caller(operator=True)  # on nobody's budget


class Gateway(Protocol):
    """What this needs of the gateway."""

    @property
    def guards(self) -> Guards | None: ...

    @property
    def ask(self) -> Callable[[Order, Any], Awaitable[Answered]]: ...


async def guard_input(call: Call, gateway: Gateway) -> None:
    """Raises ApiError 400 for what is blocked. The guards' own calls are not guarded."""
    if gateway.guards is None or call.purpose == PURPOSE:
        return
    watch = gateway.guards.find(call.model)
    if watch is None:
        return
    request, guarding = call.request, Guarding(watch, call, partial(_ask_model, call, gateway))
    call.guarded = guarding.record
    await guarding.check_request()
    if call.request is not request:  # what routing knows of it must be of what is sent
        call.asked.request = call.request
        call.asked.size_bytes -= int(call.guarded.cut_tokens * LETTERS_A_TOKEN)
        call.form = tuple(_change_part(part, call.request) for part in call.form)


def _change_part(part: Part, request: dict[str, Any]) -> Part:
    text = request.get(part.name) if part.name in ASKED and part.filename is None else None
    return replace(part, content=text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else part


async def _ask_model(call: Call, gateway: Gateway, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Raises GuardFailedError."""
    match = match_path(path)
    if match is None:
        raise GuardFailedError(f"there is no {path}")
    order = Order(match.api, orjson.dumps(body), OURSELVES, purpose=PURPOSE, parent=call)
    answered = await gateway.ask(order, gateway)
    if answered.status != 200:
        raise GuardFailedError(f"the model answered {answered.status}")
    return cast(dict[str, Any], orjson.loads(answered.body))
