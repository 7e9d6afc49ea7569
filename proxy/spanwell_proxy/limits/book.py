"""One worker's leases, and the calls that wait for units. Decisions alone: the clock is an argument, nobody is asked.

A call takes what it may use at most of each of its accounts, all or nothing, and gives back what it did not use. When
an account has too little the call waits in line; what the worker wants goes to the store as orders.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from spanwell_proxy.limits.account import Account, list_spends, more_than_free
from spanwell_proxy.limits.quotas import Quota, Unit, began_at
from spanwell_proxy.limits.store import ALIVE_S, Answer, Bound, Grant, Order

UNCOUNTED: Final = 2**62  # held of a quota without limits
VALID_S: Final = ALIVE_S - 1.5  # leases are used for so long after they were confirmed: less than they are kept for us
IDLE_S: Final = 2.0  # and goes back when nothing used it for so long
SLOT_WAIT_S: Final = 0.25  # other workers tell of their running calls so late

Why = Literal["exhausted", "busy"]
Used = dict[Unit, int]
Needs = Sequence[tuple[Account, int]]


class Refusal(NamedTuple):
    """Why a call cannot go on, and which account stands in its way."""

    why: Why
    account: Account
    amount: int


@dataclass(slots=True, eq=False)
class Waiter:
    """A call in line."""

    needs: Needs
    since: float
    deadline: float


class Book:
    """All accounts of a worker. `valid_until` is how long its leases are its own without another word of the store."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.dirty: set[Account] = set()  # the store is to be told something
        self.active: set[Account] = set()  # used of late
        self.scarce: set[Account] = set()  # the store had less than would have been welcome
        self.waiters: list[Waiter] = []
        self.valid_until = 0.0
        self.workers = 1
        self.number = 0
        self._blocked: set[Account] = set()
        self._confirmed = True

    @property
    def is_tight(self) -> bool:
        """Whether other workers may soon need what is free here."""
        return self.workers > 1 and not self.scarce.isdisjoint(self.active)

    def open(self, quota: Quota) -> Account:
        """The account of a quota. Limits may have changed since it was last opened."""
        account = self.accounts.get(quota.id)
        if account is None:
            account = self.accounts[quota.id] = Account(quota, held=0 if quota.limits else UNCOUNTED)
        elif account.quota.limits != quota.limits:
            account.held = account.reserved if quota.limits else UNCOUNTED
            account.quota, account.used, account.low, account.told_at = quota, [], 0, 0.0
            self.dirty.add(account)
        return account

    def take(self, needs: Needs, now: float) -> bool:
        """Reserve all of `needs` out of what is held; false if something is short, and then nothing is reserved."""
        if now > self.valid_until and any(account.quota.limits for account, _ in needs):
            return False
        for account, amount in needs:
            if account.busy or account.held - account.reserved < amount:
                return False
        self.force(needs, now)
        return True

    def force(self, needs: Needs, now: float) -> None:
        """Reserve, whether it is held or not."""
        for account, amount in needs:
            if account.counts_at_once:
                account.spend(amount, now)
                self.dirty.add(account)
            else:
                account.reserved += amount
                if account.held - account.reserved < account.low:
                    self.dirty.add(account)
            account.taken += amount
            account.latest = amount
            account.taken_at = now
            self.active.add(account)

    def settle(self, needs: Needs, used: Used, now: float) -> None:
        """The call has ended: free what it reserved, and book what it used."""
        for account, amount in needs:
            if account.counts_at_once:
                continue
            account.reserved -= amount
            spent = used.get(account.quota.unit, 0)
            if spent:
                account.spend(spent, now)
            if spent or account.contended or account.reserved == 0:
                self.dirty.add(account)

    def wait(self, needs: Needs, now: float, wait_s: float) -> Waiter:
        """Put a call in line."""
        waiter = Waiter(needs, now, now + wait_s)
        for account, amount in needs:  # so that an account's very first lease is for a few calls too
            account.latest = amount
        self.waiters.append(waiter)
        self._block(self._short_of(waiter, now, ()))
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """The call does not wait any more."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def admit(self, now: float, granted: Container[Account] = ()) -> list[tuple[Waiter, Refusal | None]]:
        """Go along the line: who can go on now, and who cannot at all. Nobody passes one that waits for the same.

        Of accounts that other workers wait for too, only what was `granted` in this moment is given out.
        """
        done: list[tuple[Waiter, Refusal | None]] = []
        before, self._blocked = self._blocked, set()
        waiting = []
        for waiter in self.waiters:
            short = self._short_of(waiter, now, granted)
            if not short:
                self.force(waiter.needs, now)
                done.append((waiter, None))
            elif refusal := self._judge(waiter, short, now):
                done.append((waiter, refusal))
            else:
                waiting.append(waiter)
                self._blocked.update(short)
        self.waiters = waiting
        for account in before | self._blocked:
            account.busy = account.contended or account in self._blocked
            if account not in self._blocked and account.told_need:
                self.dirty.add(account)
        return done

    def make_orders(self, now: float) -> tuple[list[Account], list[Order]]:
        """What the store is to be told, and of which accounts. Until `apply` these are under way."""
        stale = now > self.valid_until
        listed = self.dirty | self._blocked
        if stale:  # others may hold by now what was ours
            listed |= {one for one in self.accounts.values() if one.quota.limits and (one.held or one.reserved)}
        if not self._confirmed:
            listed |= {one for one in self.accounts.values() if one.sent}
        elif any(one.spends for one in listed):
            self.number += 1
        accounts, wanted = list(listed), self._wanted()
        for account in accounts if self._confirmed else ():
            account.sent, account.spends = tuple(list_spends(account.quota, account.spends)), {}
        orders = [self._order(account, wanted.get(account), now, stale=stale) for account in accounts]
        self.dirty, self._confirmed = set(), False
        return accounts, orders

    def fail(self, accounts: Iterable[Account]) -> None:
        """Nobody knows whether the orders arrived: they are made again, with the same number and the same spends."""
        self.dirty.update(accounts)

    def apply(self, accounts: Sequence[Account], orders: Sequence[Order], answer: Answer, asked_at: float) -> None:
        """What the store granted."""
        self._confirmed, self.workers = True, answer.workers
        self.valid_until = asked_at + VALID_S
        for account, order, grant in zip(accounts, orders, answer.grants, strict=True):
            account.sent = ()
            if account.quota.limits:
                self._hold(account, order, grant, answer.now)
            else:
                account.held = UNCOUNTED
            if account.spends:
                self.dirty.add(account)
        for name in answer.recalled:
            if account := self.accounts.get(name):  # type: ignore[assignment]
                account.contended = account.busy = True
                self.dirty.add(account)

    def tidy(self, now: float) -> None:
        """Give back what nothing has used for a while, and forget users that are gone."""
        for account in list(self.active):
            if now - account.taken_at < IDLE_S or account.reserved:
                continue
            if account.quota.limits and account.held > 0:
                account.released = True
                self.dirty.add(account)
            elif not (account.spends or account.sent or account in self._blocked):
                self.active.discard(account)
                if account.quota.scope == "user":
                    self.dirty.discard(account)
                    self.scarce.discard(account)
                    del self.accounts[account.quota.id]

    def _short_of(self, waiter: Waiter, now: float, granted: Container[Account]) -> list[Account]:
        stale = now > self.valid_until
        return [
            account
            for account, amount in waiter.needs
            if account in self._blocked
            or account.free < amount
            or (account.contended and account not in granted)
            or (stale and account.quota.limits)
        ]

    def _judge(self, waiter: Waiter, short: Iterable[Account], now: float) -> Refusal | None:
        """Whether a call cannot be admitted: what was used leaves no room, or it has waited for long enough."""
        for account, amount in waiter.needs:
            if account in short and account.told_at >= waiter.since and account.used:
                limits = account.quota.limits
                if any(used + amount > limit.amount for used, limit in zip(account.used, limits, strict=True)):
                    return Refusal("exhausted", account, amount)
                running = account.reserved + account.reserved_elsewhere + amount > limits[0].amount
                if account.quota.unit == "slots" and running and now >= waiter.since + SLOT_WAIT_S:
                    return Refusal("busy", account, amount)
        if now < waiter.deadline:
            return None
        blocking = next(iter(short))
        return Refusal("busy", blocking, next(amount for account, amount in waiter.needs if account is blocking))

    def _block(self, short: Iterable[Account]) -> None:
        for account in short:
            self._blocked.add(account)
            account.busy = True

    def _wanted(self) -> dict[Account, tuple[int, int, float]]:
        """By account: what those in line need altogether, what the first of them needs, and since when.

        Where free units do not stay here, calls that wait for something else ask for them again too.
        """
        wanted: dict[Account, tuple[int, int, float]] = {}
        for waiter in self.waiters:
            for account, amount in waiter.needs:
                if account in self._blocked or account.contended:
                    total, first, since = wanted.get(account, (0, amount, waiter.since))
                    wanted[account] = (total + amount, first, since)
        return wanted

    def _order(self, account: Account, wanted: tuple[int, int, float] | None, now: float, *, stale: bool) -> Order:
        quota = account.quota
        if not quota.limits:
            return Order(quota.id, account.sent, (), 0, 0)
        if stale or account.contended or account.released:
            account.held = account.reserved
        account.held, account.released = max(account.held, account.reserved), False
        untold = sum(account.spends.values())  # still ours as far as the store knows
        need, first, since = wanted or (0, 0, 0.0)
        need = max(0, need - account.free)
        account.told_need = need
        bounds = tuple(Bound(limit.window, began_at(limit.window, now), limit.amount) for limit in quota.limits)
        return Order(
            quota.id,
            account.sent,
            bounds,
            account.reserved + untold,
            account.free,
            need,
            min(first, need),
            since,
            more_than_free(account, now),
        )

    def _hold(self, account: Account, order: Order, grant: Grant, now: float) -> None:
        account.held += grant.held - order.reserved - order.free
        account.used = [used + sum(account.spends.values()) for used in grant.used]
        account.reserved_elsewhere, account.recent, account.told_at = grant.reserved_elsewhere, grant.recent, now
        account.contended = grant.others_wait
        account.busy = account.contended or account in self._blocked
        account.low = account.free // 3
        if account.contended:
            self.dirty.add(account)
        if grant.held < order.reserved + order.free + order.need + order.extra or account.contended:
            self.scarce.add(account)
        else:
            self.scarce.discard(account)
