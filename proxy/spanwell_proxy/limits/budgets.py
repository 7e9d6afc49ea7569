"""Spending limits of keys: reserved before a call, settled after it, in SQLite transactions.

A call is admitted only if what was spent, what is reserved and what it may cost at most fit together. So neither many
calls at once nor many workers can overspend, and a worker that dies only blocks money until its reservations expire.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

from spanwell.pricing import Price, Usage, cost_usd
from spanwell.transactions import transaction
from spanwell_proxy.apis.usage import read_service_tier
from spanwell_proxy.caller import Budget
from spanwell_proxy.failures import ApiError
from spanwell_proxy.state import open_state

logger = logging.getLogger(__name__)

PUSD = 10**12  # picodollars in a dollar
RESERVATION_S = 1800.0  # longer than any call with all its retries
DEFAULT_MAX_TOKENS = 4096  # reserved for a call that names no limit
ADJECTIVES = {"hour": "hourly", "day": "daily", "month": "monthly", "total": "total"}


def to_pusd(cost_usd: Decimal) -> int:
    """Whole picodollars, rounded up."""
    return int((cost_usd * PUSD).to_integral_value(ROUND_UP))


def estimate_pusd(request: dict[str, Any], body_bytes: int, prices: Iterable[Price]) -> int:
    """The most a call may cost at the dearest of `prices`: half a token a byte sent, and all it may be answered."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    answers = request.get("n") or 1
    limit = limit if isinstance(limit, int) and limit > 0 else DEFAULT_MAX_TOKENS
    answers = answers if isinstance(answers, int) and answers > 0 else 1
    most = Usage(input=body_bytes // 2 + 1, output=limit * answers)
    tier = read_service_tier(None, request.get("service_tier"))
    costs = [cost_usd(most, price, service_tier=tier) for price in prices]
    return to_pusd(max(costs, default=Decimal(0)))


def window_of(period: str, now: datetime) -> tuple[datetime, datetime | None]:
    """When the current window of `period` began and when it ends, in UTC; a total never ends."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "month":
        month = day.replace(day=1)
        return month, (month + timedelta(days=32)).replace(day=1)
    return datetime.fromtimestamp(0, UTC), None


class Ledger:
    """What keys have spent, and what is reserved. Its transactions run on a thread of their own."""

    def __init__(self, path: Path) -> None:
        self._state = open_state(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="budgets")

    async def reserve(self, reservation: str, key_id: str, budgets: tuple[Budget, ...], amount_pusd: int) -> None:
        """Set `amount_pusd` aside under the id `reservation`. Raises ApiError 429 where it does not fit."""
        now = datetime.now(UTC)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._thread, reserve, self._state, reservation, key_id, budgets, amount_pusd, now
            )
        except sqlite3.Error as error:
            raise ApiError(503, "state_unavailable", "the budget cannot be checked now; try again") from error

    async def settle(self, key_id: str, budgets: tuple[Budget, ...], reservation: str, cost_pusd: int) -> None:
        """Replace the reservation by what the call has cost."""
        now = datetime.now(UTC)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, settle, self._state, key_id, budgets, reservation, cost_pusd, now)
        except sqlite3.Error:
            logger.exception("%d picodollars of key %s were not booked", cost_pusd, key_id)

    def close(self) -> None:
        self._thread.shutdown()
        self._state.close()


def reserve(
    state: sqlite3.Connection,
    reservation: str,
    key_id: str,
    budgets: tuple[Budget, ...],
    amount_pusd: int,
    now: datetime,
) -> None:
    """Raises ApiError 429, naming the budget that is used up and when it starts anew."""
    with transaction(state):
        state.execute("DELETE FROM reservations WHERE key_id = ? AND expires_at <= ?", (key_id, now.timestamp()))
        (reserved,) = state.execute(
            "SELECT coalesce(sum(amount_pusd), 0) FROM reservations WHERE key_id = ?", (key_id,)
        ).fetchone()
        for budget in budgets:
            spent = _spent(state, key_id, budget, now)
            if spent + reserved + amount_pusd > budget.limit_pusd:
                raise _exceeded(budget, spent, reserved, amount_pusd, now)
        state.execute(
            "INSERT INTO reservations VALUES (?, ?, ?, ?)",
            (reservation, key_id, amount_pusd, now.timestamp() + RESERVATION_S),
        )


def settle(
    state: sqlite3.Connection,
    key_id: str,
    budgets: tuple[Budget, ...],
    reservation: str,
    cost_pusd: int,
    now: datetime,
) -> None:
    """Book the cost in every window and free what was reserved."""
    with transaction(state):
        state.execute("DELETE FROM reservations WHERE id = ?", (reservation,))
        for budget in budgets:
            began, _ = window_of(budget.period, now)
            state.execute(
                "INSERT INTO spending VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET spent_pusd = spent_pusd + excluded.spent_pusd",
                (key_id, budget.period, int(began.timestamp()), cost_pusd),
            )


def _spent(state: sqlite3.Connection, key_id: str, budget: Budget, now: datetime) -> int:
    began, _ = window_of(budget.period, now)
    row = state.execute(
        "SELECT spent_pusd FROM spending WHERE key_id = ? AND period = ? AND window = ?",
        (key_id, budget.period, int(began.timestamp())),
    ).fetchone()
    return int(row[0]) if row else 0


def _exceeded(budget: Budget, spent: int, reserved: int, amount: int, now: datetime) -> ApiError:
    _, ends = window_of(budget.period, now)
    told = (
        f"the {ADJECTIVES[budget.period]} budget of {_usd(budget.limit_pusd)} USD does not cover this call: "
        f"{_usd(spent)} spent, {_usd(reserved)} reserved by calls under way, up to {_usd(amount)} needed"
    )
    told += f"; it resets at {ends:%Y-%m-%dT%H:%M:%SZ}" if ends else ""
    waits_for_others = spent + amount <= budget.limit_pusd
    retry_after_s = 1.0 if waits_for_others else (ends - now).total_seconds() if ends else None
    return ApiError(429, "budget_exceeded", told, retry_after_s=retry_after_s)


def _usd(pusd: int) -> str:
    return format(Decimal(pusd) / PUSD, ".6f")
