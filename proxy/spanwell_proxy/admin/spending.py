"""What a key, a team or a user has spent, and what is left of its budgets."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spanwell.pricing import write_usd
from spanwell_proxy.access.documents import read_limits
from spanwell_proxy.caller import PUSD
from spanwell_proxy.limits.quotas import CALENDAR, began_at, ends_at
from spanwell_proxy.limits.store import Spend

DAYS = 31


def show_spending(name: str, document: Mapping[str, Any], spends: Iterable[Spend], now: float) -> dict[str, Any]:
    """US dollars of the current hour, day and month and in all, of each budget, and of the last days."""
    known = {(spend.window, spend.began): spend.amount for spend in spends}
    spent = {window: known.get((window, began_at(window, now)), 0) for window in CALENDAR}
    days = sorted((began, amount) for (window, began), amount in known.items() if window == "day")[-DAYS:]
    return {
        "id": name,
        "spent_usd": {window: _usd(amount) for window, amount in spent.items()},
        "budgets": [
            {
                "usd": _usd(budget.limit_pusd),
                "period": budget.period,
                "spent_usd": _usd(spent[budget.period]),
                "left_usd": _usd(max(0, budget.limit_pusd - spent[budget.period])),
                "resets_at": _moment(ends_at(budget.period, now)),
            }
            for budget in read_limits(document).budgets
        ],
        "days": [
            {"day": f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d}", "usd": _usd(amount)} for began, amount in days
        ],
    }


def _usd(pusd: int) -> str:
    return write_usd(Decimal(pusd) / PUSD)


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
