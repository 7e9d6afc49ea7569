"""The shared state of limits in SQLite, for the workers of one host. Each sync is one short transaction.

It is of few statements, as each takes Python's lock from the calls that run meanwhile.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from spanwell.transactions import transaction
from spanwell_proxy.limits.store import (
    ALIVE_S,
    HOURS_KEPT_S,
    REMEMBERED_S,
    Answer,
    Grant,
    Order,
    Spend,
    StoreAwayError,
)
from spanwell_proxy.state import open_state

Result = TypeVar("Result")

BOOK = (
    "INSERT INTO used VALUES {} ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
    " RETURNING period, began, amount"
)
SPENDS_A_BOOKING = 100
KEPT_S = {"minute": 2 * 60, "hour": HOURS_KEPT_S}
USED = "(SELECT coalesce(sum(amount), 0) FROM used WHERE quota = ? AND period = ? AND began >= ?)"
GREET = (
    "SELECT max(number) FILTER (WHERE worker = ?1), count(*) FILTER (WHERE worker <> ?1 AND alive_until > ?2),"
    " coalesce(max(alive_until BETWEEN 1 AND ?2), 0) FROM workers"
)
OTHERS = (
    "SELECT coalesce(sum(held), 0), coalesce(sum(reserved), 0), coalesce(max(need > 0), 0),"
    " coalesce(sum(first) FILTER (WHERE need > 0 AND (since, worker) < (?, ?)), 0)"
    " FROM leases WHERE quota = ? AND worker <> ?"
)
RECALLED = (
    "SELECT mine.quota FROM leases AS mine WHERE mine.worker = ? AND mine.held > mine.reserved"
    " AND EXISTS (SELECT 1 FROM leases AS others WHERE others.quota = mine.quota AND others.need > 0"
    " AND others.worker <> mine.worker)"
)


class SqliteLimits:
    """Transactions run on a thread of their own."""

    def __init__(self, path: Path) -> None:
        self._state = open_state(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    async def sync(self, worker: str, number: int, orders: Sequence[Order], now: float | None) -> Answer:
        return await self._run(lambda: sync(self._state, worker, number, orders, time.time() if now is None else now))

    async def leave(self, worker: str) -> None:
        await self._run(lambda: leave(self._state, worker))

    async def read_spent(self, quota: str) -> list[Spend]:
        return await self._run(lambda: read_spent(self._state, quota))

    async def close(self) -> None:
        self._thread.shutdown()
        self._state.close()

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreAwayError(f"the limits cannot be read or written: {error}") from error


def sync(state: sqlite3.Connection, worker: str, number: int, orders: Sequence[Order], now: float) -> Answer:
    """Book what was spent, once a number; then grant what there is room for."""
    with transaction(state):
        workers, is_new = _greet(state, worker, number, now)
        grants = tuple(_settle(state, worker, order, workers, books=is_new) for order in orders)
        recalled = state.execute(RECALLED, (worker,)).fetchall() if workers > 1 else ()
    return Answer(now, workers, grants, tuple(quota for (quota,) in recalled))


def leave(state: sqlite3.Connection, worker: str) -> None:
    with transaction(state):
        state.execute("DELETE FROM leases WHERE worker = ?", (worker,))
        state.execute("UPDATE workers SET alive_until = 0 WHERE worker = ?", (worker,))


def read_spent(state: sqlite3.Connection, quota: str) -> list[Spend]:
    rows = state.execute("SELECT period, began, amount FROM used WHERE quota = ? ORDER BY began", (quota,))
    return [Spend(*row) for row in rows]


def _greet(state: sqlite3.Connection, worker: str, number: int, now: float) -> tuple[int, bool]:
    """Keep the worker alive and bury the dead. How many live, and whether this number is told for the first time."""
    last, others, is_anyone_dead = state.execute(GREET, (worker, now)).fetchone()
    state.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?)", (worker, now + ALIVE_S, number, now))
    if is_anyone_dead:
        _bury(state, now)
    return others + 1, last is None or last < number


def _bury(state: sqlite3.Connection, now: float) -> None:
    for name in state.execute("SELECT worker FROM workers WHERE alive_until BETWEEN 1 AND ?", (now,)).fetchall():
        state.execute("DELETE FROM leases WHERE worker = ?", name)
        state.execute("UPDATE workers SET alive_until = 0 WHERE worker = ?", name)
    state.execute("DELETE FROM workers WHERE alive_until = 0 AND seen_at < ?", (now - REMEMBERED_S,))


def _settle(state: sqlite3.Connection, worker: str, order: Order, workers: int, *, books: bool) -> Grant:
    if books and order.spends:
        _book(state, order.quota, order.spends)
    if not order.bounds:
        return Grant(0, (), 0, False)
    held = reserved = others_wait = ahead = 0
    if workers > 1:  # else nobody holds anything: the dead are buried
        mine = (order.since, worker, order.quota, worker)
        held, reserved, others_wait, ahead = state.execute(OTHERS, mine).fetchone()
    used = _find_used(state, order)
    room = min(bound.amount - amount for bound, amount in zip(order.bounds, used, strict=True)) - held
    granted = grant(order, room, ahead if order.need else 0, workers, others_wait=bool(others_wait))
    _lease(state, worker, order, granted)
    is_short = granted < order.reserved + order.free + order.need
    recent = _recent(state, order) if is_short else ()
    return Grant(granted, used, reserved, bool(others_wait), recent)


def _lease(state: sqlite3.Connection, worker: str, order: Order, granted: int) -> None:
    """What the worker holds, and what it still lacks."""
    got = granted - order.reserved - order.free
    if granted or order.need:
        state.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                order.quota,
                worker,
                granted,
                order.reserved,
                max(0, order.need - got),
                max(0, order.first - got),
                order.since,
            ),
        )
    else:
        state.execute("DELETE FROM leases WHERE quota = ? AND worker = ?", (order.quota, worker))


def grant(order: Order, room: int, ahead: int, workers: int, *, others_wait: bool) -> int:
    """How much a worker holds from now on, of the `room` that what was spent and what others hold leave.

    Calls that wait elsewhere for longer come first, `ahead`. What is more than needed shrinks with the room, and is
    nothing where others wait. What a worker holds is never taken from it here: calls may be using it at this moment.
    """
    kept = order.reserved + order.free
    wanted = kept + order.need
    if room < wanted + ahead:
        return max(kept, min(wanted, room - ahead))
    spare = 0 if others_wait else (room - wanted) // (2 * workers)
    return wanted + min(order.extra, spare)


def _book(state: sqlite3.Connection, quota: str, spends: Sequence[Spend]) -> None:
    for at in range(0, len(spends), SPENDS_A_BOOKING):
        some = spends[at : at + SPENDS_A_BOOKING]
        sql = BOOK.format(", ".join(["(?, ?, ?, ?)"] * len(some)))
        booked = state.execute(sql, [field for spend in some for field in (quota, *spend)]).fetchall()
        _forget_old(state, quota, set(booked).intersection(some))


def _forget_old(state: sqlite3.Connection, quota: str, begun: Iterable[tuple[str, int, int]]) -> None:
    """`begun` are the first spends of their windows: older windows can go."""
    for window, began, _ in begun:
        if window in KEPT_S:
            sql = "DELETE FROM used WHERE quota = ? AND period = ? AND began < ?"
            state.execute(sql, (quota, window, began - KEPT_S[window]))


def _find_used(state: sqlite3.Connection, order: Order) -> tuple[int, ...]:
    """Since each of the order's bounds began."""
    fields = [field for bound in order.bounds for field in (order.quota, bound.window, bound.began)]
    return tuple(state.execute("SELECT " + ", ".join([USED] * len(order.bounds)), fields).fetchone())


def _recent(state: sqlite3.Connection, order: Order) -> tuple[tuple[int, int], ...]:
    rows = state.execute(
        "SELECT began, amount FROM used WHERE quota = ? AND period = 'minute' AND began >= ? ORDER BY began",
        (order.quota, order.bounds[0].began),
    )
    return tuple(rows)
