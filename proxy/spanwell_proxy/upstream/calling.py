"""Gets an answer for a call: which deployment is asked, how often, and what happens when it fails."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from spanwell_proxy.call import Attempt, Call, Why
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.choosing import Policy, choose, draw_roll
from spanwell_proxy.routing.facts import Candidate, Facts
from spanwell_proxy.upstream.backoff import backoff_s
from spanwell_proxy.upstream.client import Client
from spanwell_proxy.upstream.relay import attempt


class Backends(Protocol):
    """What an attempt needs of the gateway."""

    @property
    def routes(self) -> Routes: ...

    @property
    def find_group(self) -> Callable[[str], tuple[Candidate, ...]]: ...

    @property
    def find_policy(self) -> Callable[[str], Policy]: ...

    @property
    def client(self) -> Client: ...


async def call_upstream(call: Call, gateway: Backends) -> None:
    """Try the deployments of the model, then those of its fallbacks, until one answers. Raises the last ApiError."""
    failure: ApiError | None = None
    target = call.target or call.model
    for model in (target, *gateway.routes.fallbacks.get(target, ())):
        failure = await _try_model(call, gateway, model)
        if failure is None:
            return
        if not failure.retryable:
            break
    if failure:
        raise failure


async def _try_model(call: Call, gateway: Backends, model: str) -> ApiError | None:
    group, policy, tried = gateway.find_group(model), gateway.find_policy(model), len(call.attempts)
    for retry in range(gateway.routes.num_retries + 1):
        used = [one.deployment.id for one in call.attempts[tried:]]
        roll = draw_roll(call.span_id, len(call.attempts))
        call.decision = choose(group, call.asked, policy, used, time.monotonic(), roll)
        deployment = call.deployment = call.decision.deployment
        why: Why = "retry" if retry else "first" if model in (call.target, call.model) else "fallback"
        call.attempts.append(Attempt(deployment, why, os.urandom(8), time.perf_counter()))
        failure = await _try_deployment(call, gateway, call.attempts[-1], call.decision.candidate.facts)
        if failure is None or not failure.retryable or retry == gateway.routes.num_retries:
            return failure
        if len({*used, deployment.id}) < len(group):
            continue  # another deployment is at hand: no need to wait for this one
        pause_s = backoff_s(retry, failure.retry_after_s, call.span_id[-1 - retry % 8] / 256)
        if pause_s is None:
            return failure
        call.waited_s += pause_s
        await asyncio.sleep(pause_s)
    return None


async def _try_deployment(call: Call, gateway: Backends, tried: Attempt, facts: Facts) -> ApiError | None:
    failed, done_at = True, 0.0
    facts.begin()
    try:
        await attempt(call, tried, gateway.client)
        failed, done_at = False, call.started + call.ttft_s if call.ttft_s is not None else tried.ended
    except ApiError as failure:
        tried.failure, done_at = failure, tried.ended
        failed = failure.status == 429 or failure.status >= 500
        if failed:
            facts.breaker.fail(time.monotonic(), failure.retry_after_s)
        return failure
    finally:
        elapsed_s = done_at - tried.started if done_at else None  # None: the client left
        facts.end(time.monotonic(), elapsed_s, stream=call.stream, failed=failed and done_at > 0)
    facts.breaker.succeed()
    return None
