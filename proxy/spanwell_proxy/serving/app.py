"""The worker's ASGI application: calls take the hot lane, everything else goes to FastAPI. The composition root."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from spanwell.settings import Settings
from spanwell_proxy.access.directory import Directory
from spanwell_proxy.access.keys import KeyRing
from spanwell_proxy.admin import backends, caches, experiments
from spanwell_proxy.admin.app import create_admin
from spanwell_proxy.admin.routes import router as routes_router
from spanwell_proxy.batches import routes as batches
from spanwell_proxy.caches.exact import Cache
from spanwell_proxy.call import Receive, Send
from spanwell_proxy.experiments.redis import RedisTrials
from spanwell_proxy.experiments.sqlite import SqliteTrials
from spanwell_proxy.experiments.store import TrialStore
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.gateway import Gateway, group_deployments
from spanwell_proxy.lane.keeper import keep_lane, lane_socket
from spanwell_proxy.limits.engine import Engine
from spanwell_proxy.limits.limiter import Limiter
from spanwell_proxy.orders import Answered, Order
from spanwell_proxy.plan import Plan
from spanwell_proxy.routing.facts import Facts
from spanwell_proxy.sealing.keeping import open_keeping
from spanwell_proxy.serving.batching import serve_batches
from spanwell_proxy.serving.bounds import bound_body, find_bound
from spanwell_proxy.serving.caching import Ask, open_caching
from spanwell_proxy.serving.departures import watch_clients
from spanwell_proxy.serving.dispatch import serve
from spanwell_proxy.serving.reloading import keep_current
from spanwell_proxy.serving.shared import Shared, open_shared, read_keys
from spanwell_proxy.steps import ask
from spanwell_proxy.stored.following import Followers
from spanwell_proxy.stored.origins import open_origins
from spanwell_proxy.tasks import start_task, stop_tasks
from spanwell_proxy.telemetry.outbox import Outbox, Target
from spanwell_proxy.telemetry.queue import Telemetry
from spanwell_proxy.telemetry.vitals import Left, Vitals
from spanwell_proxy.upstream.client import Client
from spanwell_proxy.upstream.traffic import Traffic

logger = logging.getLogger(__name__)

FAREWELL_S = 2.0  # for the last spans, at shutdown
REFRESH_S = 0.5

AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def create_app(plan: Plan, worker: int) -> AsgiApp:
    """The callable uvicorn serves. Everything it needs is opened at its startup and closed at its shutdown."""
    gateway: Gateway | None = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(plan, worker, ask_now) as opened, keep_current(plan, opened, worker, use) as operations:
            admin.state.operations = operations
            async with serve_batches(plan, worker, ask_now, lambda: admin.state.gateway) as admin.state.batches:
                yield

    async def ask_now(order: Order) -> Answered:
        assert gateway is not None
        return await ask(order, gateway)

    def use(fresh: Gateway) -> None:
        """Calls begin with this one from now on."""
        nonlocal gateway
        gateway = admin.state.gateway = fresh

    admin = create_admin(lifespan)
    admin.include_router(backends.router)
    admin.include_router(caches.router)
    for prefix in ("", "/v1"):
        admin.include_router(batches.router, prefix=prefix)
    admin.include_router(experiments.router)
    admin.include_router(routes_router)

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if gateway is not None and scope["type"] == "http" and await serve(scope, receive, send, gateway):
            return
        most_bytes = find_bound(scope["path"], plan.batches) if scope["type"] == "http" else 0
        await admin(scope, bound_body(receive, most_bytes) if most_bytes else receive, send)

    return app


@asynccontextmanager
async def open_gateway(plan: Plan, worker: int, ask_now: Ask) -> AsyncIterator[Gateway]:
    """Connections, queues and background tasks of one worker. `ask_now` asks the gateway that calls begin with."""
    shared, caching = open_shared(plan.settings), open_caching(plan, ask_now)
    outbox = _open_outbox(plan.settings, worker)
    gateway = _assemble(plan, worker, shared, caching.cache, outbox)
    engine = gateway.limits.engine
    await read_keys(gateway.keys)
    await gateway.trials.sync()  # what was decided holds from the first call on
    writing = start_task(gateway.telemetry.run())
    sending = start_task(outbox.send()) if outbox else None
    jobs = [
        engine.run(),
        gateway.origins.write(),
        watch_clients(gateway),
        _refresh(gateway),
        gateway.trials.run(),
        *caching.list_jobs(),
    ]
    if worker == 0:  # the other workers' calls start it as well: by connecting
        lane = lane_socket(plan.settings.data)
        jobs.append(keep_lane(lane, at_once=plan.routes.translated, environ=plan.config.environ))
    tasks = [start_task(job) for job in jobs]
    try:
        yield gateway
    finally:
        await gateway.followers.close()
        await stop_tasks(*tasks)
        gateway.telemetry.stop()
        await asyncio.wait((writing,))
        if outbox and sending:
            await outbox.close(sending, FAREWELL_S)
        await gateway.client.close()
        await engine.close()
        await gateway.origins.close()
        await gateway.trials.close()
        await caching.close()
        await shared.records.close()


def _assemble(plan: Plan, worker: int, shared: Shared, cache: Cache | None, outbox: Outbox | None) -> Gateway:
    settings, routes, facts = plan.settings, plan.routes, dict[str, Facts]()
    client = Client(str(lane_socket(settings.data)))
    keys = KeyRing(shared.records, routes.master_key, routes.access_groups)
    return Gateway(
        routes=routes,
        find_group=group_deployments(routes, facts, plan.routing.unions),
        facts=facts,
        find_policy=plan.routing.find_policy,
        unions=plan.routing.unions,
        trials=Trials(plan.routing.experiments, _open_trials(settings)),
        client=client,
        traffic=Traffic(plan.resilience),
        keys=keys,
        directory=Directory(shared.records),
        telemetry=Telemetry(outbox, worker=worker, project=settings.project, keep_text=open_keeping(settings)),
        limits=Limiter(Engine(shared.limits), plan.limits, keys.find_user_limits),
        origins=open_origins(settings.data / "proxy" / "state.db", settings.redis_url),
        followers=Followers(client),
        cache=cache,
        guards=plan.guards,
        ask=ask,
    )


def _open_outbox(settings: Settings, worker: int) -> Outbox | None:
    if settings.telemetry != "on":
        return None
    target = Target(settings.collector_url + "/v1/traces", settings.api_token)
    spool = settings.data / "proxy" / f"spool-{worker}"
    return Outbox(spool, target, max_bytes=settings.spool_max_mb * 1024 * 1024)


def _open_trials(settings: Settings) -> TrialStore:
    if settings.redis_url:
        return RedisTrials(settings.redis_url)
    return SqliteTrials(settings.data / "proxy" / "state.db")


async def _refresh(gateway: Gateway) -> None:
    vitals = Vitals()
    while True:
        await asyncio.sleep(REFRESH_S)
        await read_keys(gateway.keys)
        vitals.show(
            in_flight=len(gateway.in_flight),
            waiting=gateway.traffic.admission.waiting,
            breakers={name: facts.breaker for name, facts in gateway.facts.items()},
            now=time.monotonic(),
        )
        vitals.show_budgets([Left(*account) for account in gateway.limits.list_left()])
