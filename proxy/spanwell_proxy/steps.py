"""The life of a call, as a list read from top to bottom. Adding a feature adds a step.

A step fills the call in, or raises ApiError; the first one that answers the client ends the list. `settle` runs for
every call, whatever happened.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from spanwell_proxy.body import parse_body, read_body
from spanwell_proxy.caches.steps import keep_answer, look_in_cache
from spanwell_proxy.call import Call
from spanwell_proxy.experiments.steps import direct, learn
from spanwell_proxy.failures import CLIENT_GONE, ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.guards.steps import guard_input
from spanwell_proxy.limits.steps import reserve_limits, settle_limits
from spanwell_proxy.orders import Answered, Order, take_order
from spanwell_proxy.replies import reply_error
from spanwell_proxy.stored.following import is_unfinished
from spanwell_proxy.stored.steps import note_origin, stay_at_origin
from spanwell_proxy.telemetry import metrics
from spanwell_proxy.upstream.calling import call_upstream

Step = Callable[[Call, Gateway], Awaitable[None]]


async def authenticate(call: Call, gateway: Gateway) -> None:
    """Who calls? Raises ApiError 401."""
    if call.caller is None:  # a call of our own knows in whose name it is made
        call.caller = await gateway.keys.find(call.headers, call.started_ns / 1e9)


async def read(call: Call, gateway: Gateway) -> None:
    """What is asked for, and may this caller ask for it? Raises ApiError 400, 403, 404, 413."""
    call.body = await read_body(call)
    call.waited_s = time.perf_counter() - call.started
    parse_body(call)
    if not gateway.find_group(call.model):
        raise ApiError(404, "model_not_found", f"the model {call.model!r} does not exist", param="model")
    if call.caller and not call.caller.may_use(call.model):
        raise ApiError(403, "model_not_allowed", f"this key may not use the model {call.model!r}", param="model")


async def settle(call: Call, gateway: Gateway) -> None:
    """Account for what an unfinished answer has cost, and hand the call to the telemetry as one span."""
    call.ended = call.ended or time.perf_counter()
    try:
        learn(call, gateway)
        if call.form:  # a sound is not held in memory while its span waits
            call.body, call.form = b"", ()
        if call.caller:
            gateway.telemetry.put(call)
        else:
            metrics.UNAUTHORIZED.inc()
    finally:  # whatever went wrong: nobody waits for ever, and nothing stays reserved
        try:
            settle_limits(call, gateway)
        finally:
            if gateway.cache:
                keep_answer(call, gateway.cache)


STEPS: tuple[Step, ...] = (
    *(authenticate, read, stay_at_origin, direct),
    *(reserve_limits, guard_input, look_in_cache, call_upstream),
)


async def run(call: Call, gateway: Gateway) -> None:
    """Take a call through the steps. It ends as exactly one answer and, once it was authenticated, one span."""
    try:
        for step in STEPS:
            await step(call, gateway)
            if call.answered:
                break
    except ApiError as failure:
        call.failure = failure
        call.stream_end = "upstream_error" if call.replied else ""
        await reply_error(call, failure)
    except asyncio.CancelledError:
        if call.gone:
            call.stream_end = "client_disconnect" if call.replied else ""
            call.failure = ApiError(499, CLIENT_GONE, "the client left before the answer was whole")
            return
        if not call.answered:
            call.failure = ApiError(503, "shutdown", "the proxy is shutting down", retry_after_s=1.0)
            await reply_error(call, call.failure)
        raise
    finally:
        if not call.answered and not call.failure:  # a mistake of ours: the server logs it with its traceback
            call.failure = ApiError(500, "internal_error", "the proxy failed to handle this call")
            await reply_error(call, call.failure)
        call.answered = True
        note_origin(call, gateway)
        if is_unfinished(call):
            gateway.followers.follow(call, lambda: settle(call, gateway))
        else:
            await settle(call, gateway)


async def ask(order: Order, gateway: Gateway) -> Answered:
    """Make a call of our own. Its errors are answers too."""
    call, exchange = take_order(order)
    await run(call, gateway)
    return exchange.answered(call)
