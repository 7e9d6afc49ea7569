"""The engine while its store is away, and while calls wait in line."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from spanwell_proxy.caller import Budget, Limits
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.engine import AwayError, Engine
from spanwell_proxy.limits.quotas import make_quotas
from spanwell_proxy.limits.store import Answer, Order, Spend, Store, StoreAwayError
from tests.proxy.backend import until

LIMITED = Limits((Budget("total", 100),))


class Door:
    """A store that can be shut, before what is told arrives or after it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.shut = ""

    async def sync(self, worker: str, number: int, orders: Sequence[Order], now: float | None) -> Answer:
        if self.shut == "before":
            raise StoreAwayError("shut")
        answer = await self._store.sync(worker, number, orders, now)
        if self.shut == "after":
            raise StoreAwayError("shut")
        return answer

    async def leave(self, worker: str) -> None:
        await self._store.leave(worker)

    async def read_spent(self, quota: str) -> list[Spend]:
        return await self._store.read_spent(quota)

    async def close(self) -> None:
        return


@asynccontextmanager
async def running(store: Store, **rules: Any) -> AsyncIterator[tuple[Engine, Account]]:
    engine = Engine(store)
    engine.set_rules(rules.get("wait_s", 2.0), rules.get("on_failure", "closed"))
    (quota,) = make_quotas("key", "k", LIMITED, counted=True)
    task = asyncio.create_task(engine.run())
    yield engine, engine.open(quota)
    task.cancel()
    await asyncio.wait((task,))
    await engine.close()


async def spent(store: Store) -> int:
    return sum(spend.amount for spend in await store.read_spent("usd:key:k") if spend.window == "total")


async def test_a_call_waits_for_what_another_has_reserved_and_does_not_use(store: Store) -> None:
    async with running(store) as (engine, account):
        await engine.reserve([(account, 90)])
        second = asyncio.create_task(engine.reserve([(account, 80)]))
        await asyncio.sleep(0.05)
        waited = not second.done()
        engine.settle([(account, 90)], {"usd": 10})

        assert (waited, await second) == (True, None)


async def test_a_call_does_not_wait_for_ever(store: Store) -> None:
    async with running(store, wait_s=0.1) as (engine, account):
        await engine.reserve([(account, 90)])

        refusal = await engine.reserve([(account, 80)])

    assert refusal is not None
    assert (refusal.why, refusal.account.quota.who) == ("busy", "k")


async def test_a_call_that_what_was_spent_leaves_no_room_for_is_refused_at_once(store: Store) -> None:
    async with running(store, wait_s=60) as (engine, account):
        await engine.reserve([(account, 90)])
        engine.settle([(account, 90)], {"usd": 90})

        refusal = await asyncio.wait_for(engine.reserve([(account, 11)]), 1)

    assert refusal is not None
    assert refusal.why == "exhausted"


async def test_while_the_store_is_away_leases_are_used_and_then_calls_are_refused(store: Store) -> None:
    door = Door(store)
    async with running(door) as (engine, account):
        await engine.reserve([(account, 10)])
        door.shut = "before"
        held = account.free

        await engine.reserve([(account, held)])
        with pytest.raises(AwayError):
            await asyncio.wait_for(engine.reserve([(account, 1)]), 1)

        door.shut = ""
        engine.settle([(account, 10), (account, held)], {"usd": 5})
        await asyncio.sleep(0.5)
        assert await engine.reserve([(account, 50)]) is None

    assert await spent(store) == 10


async def test_while_the_store_is_away_calls_may_go_on_and_are_booked_later(store: Store) -> None:
    door = Door(store)
    door.shut = "before"
    async with running(door, on_failure="open") as (engine, account):
        for _ in range(3):
            assert await engine.reserve([(account, 60)]) is None
            engine.settle([(account, 60)], {"usd": 60})
        door.shut = ""
        for _ in range(100):
            if await spent(store) == 180:
                break
            await asyncio.sleep(0.05)
        refusal = await engine.reserve([(account, 1)])

    assert refusal is not None
    assert await spent(store) == 180


async def test_an_answer_that_is_lost_books_nothing_twice(store: Store) -> None:
    door = Door(store)
    async with running(door) as (engine, account):
        await engine.reserve([(account, 10)])
        door.shut = "after"
        engine.settle([(account, 10)], {"usd": 7})
        await asyncio.sleep(0.6)
        door.shut = ""
        await until(lambda: not engine.book.dirty)

    assert await spent(store) == 7


async def test_a_call_that_leaves_the_line_takes_nothing(store: Store) -> None:
    async with running(store) as (engine, account):
        await engine.reserve([(account, 90)])
        second = asyncio.create_task(engine.reserve([(account, 80)]))
        await asyncio.sleep(0.02)
        second.cancel()
        await asyncio.wait((second,))
        engine.settle([(account, 90)], {"usd": 0})

        assert await asyncio.wait_for(engine.reserve([(account, 100)]), 1) is None


async def test_what_a_worker_holds_goes_back_when_it_ends(store: Store) -> None:
    door = Door(store)
    async with running(door) as (engine, account):
        await engine.reserve([(account, 60)])
    async with running(door) as (engine, account):
        assert await asyncio.wait_for(engine.reserve([(account, 100)]), 1) is None
