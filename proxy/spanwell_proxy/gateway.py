"""What the steps of a call work with: one object, put together once a worker."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from spanwell_proxy.budgets import Ledger
from spanwell_proxy.cache import Cache
from spanwell_proxy.call import Call
from spanwell_proxy.keys import KeyRing
from spanwell_proxy.routes import Deployment, Routes
from spanwell_proxy.routing import Health
from spanwell_proxy.telemetry import Telemetry
from spanwell_proxy.upstream import Client


@dataclass(frozen=True, eq=False)
class Gateway:
    """`groups` pairs every deployment with what it did lately."""

    routes: Routes
    groups: Mapping[str, tuple[tuple[Deployment, Health], ...]]
    client: Client
    keys: KeyRing
    telemetry: Telemetry
    ledger: Ledger
    cache: Cache | None
    in_flight: dict[Call, asyncio.Task[None]] = field(default_factory=dict)


def group_deployments(routes: Routes) -> dict[str, tuple[tuple[Deployment, Health], ...]]:
    return {name: tuple((deployment, Health()) for deployment in group) for name, group in routes.deployments.items()}
