"""Batches in a worker: their desk for clients, and the one that works at them, who asks as their owners would."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import Request

from spanwell_proxy.apis.paths import find_api
from spanwell_proxy.batches.booking import find_caller
from spanwell_proxy.batches.handing import HandOver
from spanwell_proxy.batches.routes import BatchDesk
from spanwell_proxy.batches.runner import Runner
from spanwell_proxy.batches.store import BatchStore
from spanwell_proxy.caller import Caller
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.orders import Answered, Order
from spanwell_proxy.plan import Plan
from spanwell_proxy.tasks import start_task, stop_tasks

Ask = Callable[[Order], Awaitable[Answered]]
KEY_GONE = ApiError(401, "invalid_api_key", "the key that made this batch is blocked, expired or gone")


@asynccontextmanager
async def serve_batches(
    plan: Plan, worker: int, ask: Ask, find_gateway: Callable[[], Gateway]
) -> AsyncIterator[BatchDesk | None]:
    """The desk, and in the first worker the runner behind it. `find_gateway`: the one that calls begin with now."""
    if plan.batches is None:
        yield None
        return
    store = BatchStore(plan.settings.data / "proxy" / "batches")
    # Whoever seals texts wants none of them in a file somewhere else.
    hand = HandOver(store, plan.batches, find_gateway, may_leave=plan.settings.seal_texts == "off")
    runner = Runner(store, plan.batches, _ask_as_owner(ask, find_gateway), lambda: len(find_gateway().in_flight), hand)
    running = [start_task(runner.run())] if worker == 0 else []
    try:
        yield BatchDesk(store, plan.batches, _authenticate_by(find_gateway))
    finally:
        await stop_tasks(*running)
        store.close()


def _authenticate_by(find_gateway: Callable[[], Gateway]) -> Callable[[Request], Awaitable[Caller]]:
    async def authenticate(request: Request) -> Caller:
        gateway = find_gateway()
        return await gateway.keys.find(dict(request.scope["headers"]), gateway.limits.engine.now())

    return authenticate


def _ask_as_owner(ask: Ask, find_gateway: Callable[[], Gateway]) -> Callable[[str, str, bytes], Awaitable[Answered]]:
    async def ask_line(owner: str, endpoint: str, body: bytes) -> Answered:
        gateway = find_gateway()
        caller, api = find_caller(gateway, owner), find_api(endpoint)
        if caller is None or api is None:
            return Answered(KEY_GONE.status, "", KEY_GONE.to_json("openai"))
        return await ask(Order(api, body, caller))

    return ask_line
