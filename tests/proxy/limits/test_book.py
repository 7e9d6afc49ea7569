"""Many workers, one limit: whatever happens in whatever order, nothing is overspent and nobody is refused falsely."""

import random
from dataclasses import dataclass, field

import pytest

from spanwell_proxy.caller import Budget, Limits
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.book import Book, Needs, Refusal, Waiter
from spanwell_proxy.limits.quotas import Quota, make_quotas
from spanwell_proxy.limits.store import ALIVE_S, Answer, Store

NOW = 1_763_713_800.0
LIMIT = 400
QUOTAS = (
    *make_quotas("key", "k", Limits((Budget("total", LIMIT),)), counted=True),
    *make_quotas("team", "t", Limits((Budget("day", 3 * LIMIT // 2),), concurrency=20), counted=True),
)


@dataclass(eq=False)
class Worker:
    """A book with its running calls."""

    name: str
    book: Book = field(default_factory=Book)
    running: list[Needs] = field(default_factory=list)
    amounts: dict[Waiter, int] = field(default_factory=dict)

    def needs(self, amount: int) -> list[tuple[Account, int]]:
        return [(self.book.open(quota), 1 if quota.unit == "slots" else amount) for quota in QUOTAS]

    def reserved(self, quota: Quota) -> int:
        account = self.book.accounts.get(quota.id)
        return account.reserved if account else 0


class Simulation:
    """Random calls, syncs, lost answers, pauses and crashes on a clock of its own."""

    def __init__(self, store: Store, seed: int, crashes: int) -> None:
        self.store, self.dice, self.now, self.crashes = store, random.Random(seed), NOW, crashes
        self.spent = 0
        self.workers = [Worker(f"w{number}") for number in range(4)]
        self.born = 4
        self.admitted = self.refused = 0

    async def step(self) -> None:
        worker = self.dice.choice(self.workers)
        action = self.dice.choices(
            (self.begin, self.end, self.sync, self.lose, self.crash, self.wait), (40, 20, 40, 3, self.crashes, 10)
        )[0]
        await action(worker)
        await self.check()

    async def begin(self, worker: Worker) -> None:
        amount = self.dice.choice((5, 20, 60))
        needs = worker.needs(amount)
        if worker.book.take(needs, self.now):
            self.start(worker, needs)
        else:
            worker.amounts[worker.book.wait(needs, self.now, 1e9)] = amount

    def start(self, worker: Worker, needs: Needs) -> None:
        self.admitted += 1
        worker.running.append(needs)

    async def end(self, worker: Worker) -> None:
        if worker.running:
            needs = worker.running.pop(self.dice.randrange(len(worker.running)))
            cost = self.dice.randint(0, needs[0][1])
            self.spent += cost
            worker.book.settle(needs, {"usd": cost}, self.now)
            await self.admit(worker, frozenset())

    async def sync(self, worker: Worker) -> None:
        accounts, orders = worker.book.make_orders(self.now)
        answer = await self.ask(worker, orders)
        worker.book.apply(accounts, orders, answer, self.now)
        await self.admit(worker, frozenset(accounts))

    async def ask(self, worker: Worker, orders: list) -> Answer:  # type: ignore[type-arg]
        return await self.store.sync(worker.name, worker.book.number, orders, self.now)

    async def lose(self, worker: Worker) -> None:
        """The store has heard, or it has not: the worker cannot tell."""
        accounts, orders = worker.book.make_orders(self.now)
        if self.dice.random() < 0.5:
            await self.ask(worker, orders)
        worker.book.fail(accounts)

    async def crash(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.workers.append(Worker(f"w{self.born}"))
        self.born += 1

    async def wait(self, worker: Worker) -> None:
        del worker
        self.now += self.dice.choice((0.01, 0.1, 1.0))
        for other in self.workers:  # who lives says so; one that could not would stop by itself
            if self.now > other.book.valid_until - 1:
                await self.sync(other)

    async def admit(self, worker: Worker, granted: frozenset[Account]) -> None:
        for waiter, refusal in worker.book.admit(self.now, granted):
            amount = worker.amounts.pop(waiter)
            if refusal is None:
                self.start(worker, waiter.needs)
            else:
                await self.check_refusal(refusal, amount)

    async def check_refusal(self, refusal: Refusal, amount: int) -> None:
        self.refused += 1
        if refusal.why == "exhausted":
            assert self.spent + amount > refusal.account.quota.limits[0].amount

    async def check(self) -> None:
        """By the test's own count: what all calls cost, and what those that run may cost at most."""
        for quota in QUOTAS:
            spent = 0 if quota.unit == "slots" else self.spent
            if self.crashes:  # what the dead had not told is told by nobody
                spent = min(spent, await self.booked(quota))
            assert spent + sum(worker.reserved(quota) for worker in self.workers) <= quota.limits[0].amount, quota.id

    async def booked(self, quota: Quota) -> int:
        window = quota.limits[0].window
        return sum(spend.amount for spend in await self.store.read_spent(quota.id) if spend.window == window)

    async def finish(self) -> None:
        """Everything ends and everybody tells: then no call waits that there is room for."""
        for _ in range(200):
            for worker in self.workers:
                while worker.running:
                    await self.end(worker)
                await self.sync(worker)
            await self.check()
            self.now += 0.1
            if not any(worker.book.waiters for worker in self.workers):
                return
        raise AssertionError("a call waits, though nothing stands in its way")


@pytest.mark.parametrize("crashes", [0, 2])
@pytest.mark.parametrize("seed", range(8))
async def test_nothing_is_overspent_and_nobody_waits_for_good(store: Store, seed: int, crashes: int) -> None:
    simulation = Simulation(store, seed, crashes)

    for _ in range(250):
        await simulation.step()
    await simulation.finish()

    assert simulation.admitted > 20


async def test_all_that_was_spent_is_on_record_once(store: Store) -> None:
    simulation = Simulation(store, 99, crashes=0)

    for _ in range(250):
        await simulation.step()
    await simulation.finish()
    for worker in simulation.workers:
        await simulation.sync(worker)

    assert [simulation.spent] * 2 == [await simulation.booked(quota) for quota in QUOTAS if quota.unit == "usd"]


async def one_grant(store: Store, worker: Worker, now: float) -> None:
    accounts, orders = worker.book.make_orders(now)
    answer = await store.sync(worker.name, worker.book.number, orders, now)
    worker.book.apply(accounts, orders, answer, now)


async def test_a_worker_that_slept_too_long_does_not_use_what_it_held(store: Store) -> None:
    worker = Worker("sleeper")
    worker.book.wait(worker.needs(10), NOW, 1.0)
    await one_grant(store, worker, NOW)

    assert worker.book.take(worker.needs(1), NOW + ALIVE_S) is False


async def test_a_call_that_costs_more_than_was_thought_is_booked_whole(store: Store) -> None:
    worker = Worker("w")
    worker.book.wait(worker.needs(10), NOW, 1.0)
    await one_grant(store, worker, NOW)
    ((waiter, _),) = worker.book.admit(NOW)

    worker.book.settle(waiter.needs, {"usd": 70}, NOW)
    await one_grant(store, worker, NOW)

    assert [spend.amount for spend in await store.read_spent("usd:key:k")] == [70] * 4


@pytest.mark.parametrize(("amount", "is_tight"), [(1, False), (60, True)])
async def test_where_there_is_plenty_nobody_looks_for_those_who_lack(store: Store, amount: int, is_tight: bool) -> None:
    one, other = Worker("one"), Worker("other")
    for worker in (one, other):
        worker.book.wait([(worker.book.open(QUOTAS[0]), amount)], NOW, 1.0)
        await one_grant(store, worker, NOW)
        ((waiter, _),) = worker.book.admit(NOW)
        worker.book.settle(waiter.needs, {"usd": 1}, NOW)
        await one_grant(store, worker, NOW)

    assert other.book.is_tight is is_tight
