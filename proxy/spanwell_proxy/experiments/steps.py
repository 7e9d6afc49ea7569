"""The step that says where a call goes, and what experiments learn of it once it has ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from spanwell.conventions import HEADER_CACHE, HEADER_TAGS, HEADER_TIER
from spanwell_proxy.apis.api import Api
from spanwell_proxy.call import Call
from spanwell_proxy.caller import Caller
from spanwell_proxy.experiments.store import Observation
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.orders import Answered, Order
from spanwell_proxy.routing.asked import Asked, Assignment
from spanwell_proxy.routing.experiments import Arm, Experiment, Joined, apply_arm, join, wants_copy
from spanwell_proxy.routing.guardrails import ASSIGNED, ERRORS, to_observation
from spanwell_proxy.routing.repeating import acts

SHADOW: Final = "shadow"  # the purpose of a copy
MOST_COPIES: Final = 32  # under way at once; others are not made
NO_TAGS: Final[frozenset[str]] = frozenset()
TAGS, TIER, CACHE = HEADER_TAGS.encode(), HEADER_TIER.encode(), HEADER_CACHE.encode()


class Directed(Protocol):
    """What the step needs of the gateway."""

    @property
    def trials(self) -> Trials: ...

    @property
    def ask(self) -> Callable[[Order, Any], Awaitable[Answered]]: ...


async def direct(call: Call, gateway: Directed) -> None:
    """Which model's deployments answer, and what routing has to know of the request."""
    call.target, assignment = call.model, call.copied
    if call.caller and call.caller.metadata:
        _add_labels(call, call.caller.metadata)
    experiment = gateway.trials.experiments.get(call.model)
    if experiment and not call.purpose:
        joined = call.joined = _join(call, experiment, gateway.trials)
        call.target, assignment = joined.arm.model or call.model, joined.assignment
        # With the arm's model: arms that answer differently must not share the cache.
        call.request = apply_arm(joined.arm, call.request) | {"model": call.target}
        if joined.arm.prompt:
            call.prompt_name, call.prompt_version = joined.arm.prompt.name, joined.arm.prompt.version
    call.asked = Asked(
        call.request,
        call.text_bytes,
        most_output=call.api.max_tokens(call.request),
        tier=call.tier,
        tags=frozenset(call.tags) if call.tags else NO_TAGS,
        assignment=assignment,
    )


def learn(call: Call, gateway: Directed) -> None:
    """The call has ended: how did its arm do, and who gets a copy of it?"""
    # A call that a limit sent elsewhere says nothing of its arm.
    if call.joined and call.attempts and not call.gone and call.target == (call.joined.arm.model or call.model):
        gateway.trials.note(_observe(call, call.joined))
        for arm in call.joined.experiment.arms:
            if arm.shadow and wants_copy(arm, call.span_id):
                _send_copy(call, call.joined, arm, gateway)


def _observe(call: Call, joined: Joined) -> Observation:
    values = [(ASSIGNED, 1.0), (ERRORS, float(call.failure is not None))]
    if not call.failure:
        measured = {"latency": call.ended - call.started, "ttft": call.ttft_s, "cost": call.cost_usd}
        for metric, value in measured.items():
            if value is not None and (observed := to_observation(metric, float(value))) is not None:
                values.append((metric, observed))
    return Observation(joined.trial, joined.arm.name, joined.unit, tuple(values))


def _send_copy(call: Call, joined: Joined, arm: Arm, gateway: Directed) -> None:
    """Ask the shadow arm the same, after the client has its answer; nobody pays or waits for it."""
    copies = gateway.trials.copies
    if len(copies) >= MOST_COPIES or not _may_copy(call.api, joined.asked):
        return
    request = apply_arm(arm, joined.asked) | {"model": arm.model or call.model}
    if call.api.keeps_answers or "store" in request:
        request["store"] = False
    order = Order(
        call.api,
        orjson.dumps(request),
        Caller(operator=True),
        purpose=SHADOW,
        parent=call,
        headers={TAGS: ",".join(call.tags).encode(), TIER: call.tier.encode(), CACHE: b"no-store"},
        assignment=Assignment(joined.experiment.name, arm.name, 1.0, arm.deployment),
    )
    task = asyncio.create_task(_ask(order, joined, arm, gateway))
    copies.add(task)
    task.add_done_callback(copies.discard)


def _may_copy(api: Api, asked: Mapping[str, Any]) -> bool:
    """Not what would be done twice, nor what goes on with an answer that only its own backend knows."""
    goes_on = api.goes_on_with is not None and bool(api.goes_on_with(asked))
    return not (api.takes_form or goes_on or acts(asked))


async def _ask(order: Order, joined: Joined, arm: Arm, gateway: Directed) -> None:
    began = time.perf_counter()
    answer = await gateway.ask(order, gateway)
    values: list[tuple[str, float]] = [(ERRORS, float(answer.status >= 400))]
    latency = to_observation("latency", time.perf_counter() - began)
    if answer.status < 400 and latency is not None:
        values.append(("latency", latency))
    gateway.trials.note(Observation(joined.trial, arm.name, 0, tuple(values)))


def _join(call: Call, experiment: Experiment, trials: Trials) -> Joined:
    unit = _unit(call, experiment)
    return join(experiment, trials.find_state(experiment), unit, call.span_id, call.request)


def _unit(call: Call, experiment: Experiment) -> str:
    """Who keeps its arm. A call that names nobody is one of its own."""
    key = call.caller.key_id if call.caller else ""
    units = {"user": call.user or key, "session": call.session or call.user or key, "key": key, "call": ""}
    return units[experiment.stick]


def _add_labels(call: Call, known: Mapping[str, Any]) -> None:
    """A key's own tier goes before what its client says; its tags come on top."""
    tier, tags = known.get("tier"), known.get("tags")
    if isinstance(tier, str):
        call.tier = tier
    if isinstance(tags, list):
        call.tags = tuple(dict.fromkeys((*call.tags, *(tag for tag in tags if isinstance(tag, str)))))
