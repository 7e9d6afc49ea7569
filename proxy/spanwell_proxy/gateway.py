"""What the steps of a call work with: one object, put together once a worker."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from spanwell_proxy.access.directory import Directory
from spanwell_proxy.access.keys import KeyRing
from spanwell_proxy.caches.exact import Cache
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment, Routes
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.guards.judging import Guards
from spanwell_proxy.limits.limiter import Limiter
from spanwell_proxy.orders import Answered, Order
from spanwell_proxy.routing.facts import Candidate, Facts, watch
from spanwell_proxy.routing.policy import WEIGHTED, Policy
from spanwell_proxy.stored.following import Followers
from spanwell_proxy.stored.origins import Origins
from spanwell_proxy.telemetry.queue import Telemetry
from spanwell_proxy.upstream.client import Client
from spanwell_proxy.upstream.settings import Resilience
from spanwell_proxy.upstream.traffic import Traffic

MOST_CAUGHT_NAMES = 1000
Group = tuple[Candidate, ...]


def by_weight(_: str) -> Policy:
    """How the deployments of a model name share its calls."""
    return WEIGHTED


@dataclass(frozen=True, eq=False)
class Gateway:
    """`find_group` gives the deployments of a model name, each with what is known of it; none for an unknown name."""

    routes: Routes
    find_group: Callable[[str], Group]
    client: Client
    keys: KeyRing
    telemetry: Telemetry
    limits: Limiter
    directory: Directory
    origins: Origins  # of the responses that backends keep
    followers: Followers  # of those that backends still work at
    cache: Cache | None
    guards: Guards | None
    ask: Callable[[Order, "Gateway"], Awaitable[Answered]]  # makes a call of our own
    trials: Trials
    find_policy: Callable[[str], Policy] = by_weight
    unions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # routes that are made of other models
    facts: dict[str, Facts] = field(default_factory=dict)  # by deployment
    traffic: Traffic = field(default_factory=lambda: Traffic(Resilience()))
    in_flight: dict[Call, asyncio.Task[None]] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)  # asking for it is a system call


def group_deployments(
    routes: Routes, facts: dict[str, Facts] | None = None, unions: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Callable[[str], Group]:
    """The `find_group` of these routes. Names that wildcards catch come from clients: only the latest are kept.

    `facts` are by deployment id, and outlive a change of the routes: what is missing is added. `unions` are names
    that stand for all deployments of other models.
    """
    known = {} if facts is None else facts

    def watched(group: Sequence[Deployment]) -> Group:
        now, ordered = datetime.now(UTC), sorted(group, key=lambda one: one.order)
        return tuple(watch(one, known.setdefault(one.id, Facts()), now) for one in ordered)

    @lru_cache(MOST_CAUGHT_NAMES)
    def expand(name: str) -> Group:
        return watched(routes.expand(name))

    named = {name: watched(group) for name, group in routes.deployments.items()}
    for name, models in unions.items():
        members = (one for model in models for one in named.get(model) or expand(model))
        named[name] = tuple(sorted(members, key=lambda one: one.traits.order))
    return lambda name: named.get(name) or expand(name)
