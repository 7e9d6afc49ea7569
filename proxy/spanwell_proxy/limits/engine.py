"""Runs a worker's book: calls take from it at once or wait in line, and a task keeps it in step with the store."""

import asyncio
import logging
import secrets
import time
from typing import Literal

from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.book import Book, Needs, Refusal, Used, Waiter
from spanwell_proxy.limits.quotas import Quota
from spanwell_proxy.limits.store import Spend, Store, StoreAwayError

logger = logging.getLogger(__name__)

OnFailure = Literal["closed", "open"]

HEARTBEAT_S = 1.0
FLUSH_S = 0.1  # what was used is told after so long
LOOK_S = 0.02  # how often to look whether other workers need what is free here, where there is little more
LINE_S = 0.005  # between two orders while calls wait in line
AWAY_S = 0.25  # a store that does not answer is asked again after so long
LONGEST_LINE = 10_000
LAST_WORDS = 2  # one that was under way when the worker was told to end may have to be said again


class AwayError(Exception):
    """The call's limits cannot be checked now."""


class Engine:
    """`wait_s` is for how long a call waits for running ones to give back what they reserved but did not use."""

    def __init__(self, store: Store, *, wait_s: float = 10.0, on_failure: OnFailure = "closed") -> None:
        self.store = store
        self.worker = secrets.token_hex(8)
        self.book = Book()
        self._wait_s = wait_s
        self._on_failure = on_failure
        self._futures: dict[Waiter, asyncio.Future[Refusal | None]] = {}
        self._wake = asyncio.Event()
        self._is_away = False
        self._ahead_s = time.time() - time.monotonic()  # of the store's clock before this process's own
        self._admits_soon = False
        self._tidy_at = 0.0

    def set_rules(self, wait_s: float, on_failure: OnFailure) -> None:
        """Another configuration may have others."""
        self._wait_s, self._on_failure = wait_s, on_failure

    def now(self) -> float:
        """Seconds since 1970 on the store's clock. It does not jump when this host's clock is set."""
        return time.monotonic() + self._ahead_s

    def open(self, quota: Quota) -> Account:
        """The account of a quota, whose limits hold from now on."""
        return self.book.open(quota)

    async def reserve(self, needs: Needs) -> Refusal | None:
        """Take all of `needs`, or say which account stands in the way. Raises AwayError while nobody can know."""
        if self.book.take(needs, self.now()):
            return None
        if self._is_away:
            self._go_without(needs)
            return None
        if len(self._futures) >= LONGEST_LINE:
            return Refusal("busy", *needs[0])
        waiter = self.book.wait(needs, self.now(), self._wait_s)
        future: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._futures[waiter] = future
        self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            self.book.withdraw(waiter)
            if future.done() and not future.cancelled() and not future.exception() and future.result() is None:
                self.settle(needs, {})  # it had been let through in this very moment
            raise
        finally:
            del self._futures[waiter]

    def try_reserve(self, needs: Needs) -> bool:
        """Take all of `needs` if this worker holds as much: nobody is asked or waited for."""
        return self.book.take(needs, self.now())

    def settle(self, needs: Needs, used: Used) -> None:
        """The call has ended: book what it used, and let others have the rest."""
        self.book.settle(needs, used, self.now())
        if self._futures and not self._admits_soon:
            self._admits_soon = True
            asyncio.get_running_loop().call_soon(self._admit)

    async def run(self) -> None:
        """Runs until it is cancelled: tells the store what was used, and asks it for what is needed."""
        told_at = -HEARTBEAT_S
        while True:
            if self._is_due(time.monotonic() - told_at):
                told_at = time.monotonic()
                try:
                    await self._sync()
                except StoreAwayError as error:
                    self._give_up(error)
            await self._pause()
            _stay_cancelled()

    async def read_spent(self, quota: str) -> list[Spend]:
        """All that is on record for a quota, oldest first."""
        return await self.store.read_spent(quota)

    async def close(self) -> None:
        """Tell the last, and give everything back."""
        try:
            for _ in range(LAST_WORDS if self.book.dirty else 0):
                await self._sync()
            await self.store.leave(self.worker)
        except StoreAwayError as error:
            logger.warning("what the last calls used was not booked: %s", error)
        await self.store.close()

    async def _sync(self) -> None:
        asked_at = self.now()
        accounts, orders = self.book.make_orders(asked_at)
        try:
            answer = await self.store.sync(self.worker, self.book.number, orders, None)
        except StoreAwayError:
            self.book.fail(accounts)
            raise
        ahead_s = answer.now - time.monotonic()
        if abs(ahead_s - self._ahead_s) > HEARTBEAT_S / 10:
            asked_at += ahead_s - self._ahead_s
            self._ahead_s = ahead_s
        self._tell_presence()
        self.book.apply(accounts, orders, answer, asked_at)
        self._resolve(frozenset(accounts))
        if self.now() >= self._tidy_at:
            self._tidy_at = self.now() + HEARTBEAT_S
            self.book.tidy(self.now())

    def _is_due(self, passed_s: float) -> bool:
        book = self.book
        shares = book.workers > 1 and book.active
        return bool(book.dirty or book.waiters or shares or self._is_away or passed_s >= HEARTBEAT_S)

    async def _pause(self) -> None:
        book = self.book
        if self._is_away or book.waiters or any(account.contended for account in book.dirty):
            await asyncio.sleep(AWAY_S if self._is_away else LINE_S)
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(LOOK_S if book.is_tight else FLUSH_S):
                await self._wake.wait()
        except TimeoutError:
            return

    def _admit(self) -> None:
        self._admits_soon = False
        self._resolve(frozenset())

    def _resolve(self, granted: frozenset[Account]) -> None:
        for waiter, refusal in self.book.admit(self.now(), granted):
            future = self._futures.get(waiter)
            if future is not None and not future.done():
                future.set_result(refusal)
            elif refusal is None:
                self.book.settle(waiter.needs, {}, self.now())

    def _go_without(self, needs: Needs) -> None:
        if self._on_failure == "closed":
            raise AwayError
        self.book.force(needs, self.now())

    def _give_up(self, error: StoreAwayError) -> None:
        """Those in line get the answer that holds while the store is away; it is asked again in a moment."""
        if not self._is_away:
            logger.error("%s; calls go on %s", error, "unlimited" if self._on_failure == "open" else "within leases")
        self._is_away = True
        for waiter, future in list(self._futures.items()):
            self.book.withdraw(waiter)
            if future.done():
                continue
            try:
                self._go_without(waiter.needs)
            except AwayError as away:
                future.set_exception(away)
            else:
                future.set_result(None)

    def _tell_presence(self) -> None:
        if self._is_away:
            logger.warning("the limits' store answers again")
        self._is_away = False


def _stay_cancelled() -> None:
    """A client of Redis may take a cancellation for the end of its own time-out: then it is lost, but for the count."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
