"""What the steps of a call work with: one object, put together once a worker."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from spanwell_proxy.access.keys import KeyRing
from spanwell_proxy.caches.exact import Cache
from spanwell_proxy.call import Call
from spanwell_proxy.config.routes import Deployment, Routes
from spanwell_proxy.limits.budgets import Ledger
from spanwell_proxy.routing.picking import Health
from spanwell_proxy.telemetry.queue import Telemetry
from spanwell_proxy.upstream.client import Client

MOST_CAUGHT_NAMES = 1000
Group = tuple[tuple[Deployment, Health], ...]


@dataclass(frozen=True, eq=False)
class Gateway:
    """`find_group` gives the deployments of a model name, each with what it did lately; none for an unknown name."""

    routes: Routes
    find_group: Callable[[str], Group]
    client: Client
    keys: KeyRing
    telemetry: Telemetry
    ledger: Ledger
    cache: Cache | None
    in_flight: dict[Call, asyncio.Task[None]] = field(default_factory=dict)


def group_deployments(routes: Routes) -> Callable[[str], Group]:
    """The `find_group` of these routes. Names that wildcards catch come from clients: only the latest are kept."""

    def watched(group: Sequence[Deployment]) -> Group:
        return tuple((deployment, Health()) for deployment in group)

    @lru_cache(MOST_CAUGHT_NAMES)
    def expand(name: str) -> Group:
        return watched(routes.expand(name))

    named = {name: watched(group) for name, group in routes.deployments.items()}
    return lambda name: named.get(name) or expand(name)
