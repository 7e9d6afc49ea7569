"""Which requests are calls, or about what backends keep: those never wait behind administration."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from spanwell_proxy.apis.paths import match_path
from spanwell_proxy.call import Call, Receive, Send, begin_call
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.serving.lookups import answer_look_up
from spanwell_proxy.serving.passthrough import begin_passthrough, find_passthrough
from spanwell_proxy.steps import run


async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send, gateway: Gateway) -> bool:
    """False where the request is for administration."""
    method, path = scope["method"], scope["path"]
    if method == "POST" and (match := match_path(path)):
        call = begin_call(match.api, dict(scope["headers"]), receive, send)
        call.path_model = match.model
        await answer_call(call, gateway)
        return True
    if await answer_look_up(scope, receive, send, gateway):
        return True
    unknown = find_passthrough(method, path)
    if unknown is None:
        return False
    if passed := await begin_passthrough(unknown, scope, receive, send, gateway):
        await answer_call(passed, gateway)
    return True


async def answer_call(call: Call, gateway: Gateway) -> None:
    """Run the steps; a call whose client has left ends quietly."""
    task = asyncio.current_task(gateway.loop)
    if task is None:
        return
    gateway.in_flight[call] = task
    try:
        await run(call, gateway)
    except asyncio.CancelledError:
        if not call.gone:
            raise
    finally:
        del gateway.in_flight[call]
