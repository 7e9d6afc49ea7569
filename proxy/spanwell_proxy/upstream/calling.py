"""Gets an answer for a call: which deployment is asked, how often, and what happens when it fails."""

import asyncio
import time
from collections import deque
from typing import Final

from spanwell_proxy.call import Call, Why
from spanwell_proxy.config.resilience import CONTENT_POLICY, CONTEXT_WINDOW
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.accounting import charge, sum_up
from spanwell_proxy.upstream.admission import QUEUE_FULL
from spanwell_proxy.upstream.backoff import backoff_s
from spanwell_proxy.upstream.course import NO_BACKEND, Backends, Course
from spanwell_proxy.upstream.refusals import classify, is_upstream, judge_help

SPECIAL: Final = (CONTEXT_WINDOW, CONTENT_POLICY)  # a larger or a more lenient model may answer these


async def call_upstream(call: Call, gateway: Backends) -> None:
    """Try the deployments of the model, then those of its fallbacks, until one answers. Raises the last ApiError.

    Whatever happens, the call has what its attempts used and cost when this ends.
    """
    try:
        failure = await _try_models(call, gateway)
    except asyncio.CancelledError:
        _charge_departure(call)
        raise
    except ApiError as refused:  # there is no room for another attempt
        failure = refused
    if failure:
        sum_up(call)
        raise failure


async def _try_models(call: Call, gateway: Backends) -> ApiError | None:
    first = call.target or call.model
    models = deque(_in_order((first, *gateway.routes.find_fallbacks(first)), gateway))
    failure: ApiError | None = None
    while models:
        model = models.popleft()
        failure = await _try_model(call, gateway, model)
        if failure is None or call.replied:
            return failure
        kind = classify(failure)
        if kind in SPECIAL and model == first:
            models = deque(gateway.routes.fallback_models.find(first, kind))
        elif kind not in SPECIAL and judge_help(failure) == "never":
            break
    return failure


def _in_order(models: tuple[str, ...], gateway: Backends) -> list[str]:
    """A model whose deployments all cool comes after its fallbacks: they answer at once."""
    if len(models) == 1:
        return list(models)
    now = time.monotonic()
    return sorted(models, key=lambda model: not any(one.facts.is_ready(now) for one in gateway.find_group(model)))


async def _try_model(call: Call, gateway: Backends, model: str) -> ApiError | None:
    course = Course(call, model, gateway)
    why: Why = "first" if model in (call.target, call.model) else "fallback"
    retries, counts = gateway.routes.find_retries(model), 0
    while True:
        failure = await course.attempt(why)
        if failure is None or failure.kind in (QUEUE_FULL, NO_BACKEND):
            return failure
        if call.replied:
            return await _continue(course, failure) if is_upstream(failure) else failure
        kind, help_ = classify(failure), judge_help(failure)
        most = retries.by_class.get(kind, retries.default if help_ != "never" else 0)
        if counts >= most or (help_ == "elsewhere" and not course.has_another and kind not in retries.by_class):
            return failure
        if not course.has_another and not await _pause(course, counts, failure, gateway.routes.retry_after_s):
            return failure
        why, counts = "retry", counts + 1


async def _pause(course: Course, retry: int, failure: ApiError, least_s: float) -> bool:
    """Wait before the same deployment is asked again; false where it would take too long."""
    pause_s = backoff_s(retry, failure.retry_after_s, course.roll(), least_s)
    if pause_s is None or pause_s >= course.left_s:
        return False
    await asyncio.sleep(pause_s)
    course.call.waited_s += pause_s
    course.call.upstream_s += pause_s
    return True


async def _continue(course: Course, failure: ApiError) -> ApiError | None:
    """A stream that has begun cannot be tried again; it can be gone on with, where its deployments allow it."""
    retries = course.gateway.routes.find_retries(course.model).default
    for _ in range(retries):
        if not course.can_continue():
            break
        again = await course.attempt("continuation")
        if again is None:
            return None
        if again.kind == QUEUE_FULL:
            break
        failure = again
    return failure


def _charge_departure(call: Call) -> None:
    """The client has left, or the proxy stops: what was under way for a client is on its bill, guessed if need be."""
    unpaid = next((one for one in call.attempts if one.failure is None and one.usage is None), None)
    if unpaid and (call.gone or call.replied):
        charge(call, unpaid)
    else:
        sum_up(call)
