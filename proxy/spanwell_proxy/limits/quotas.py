"""What is limited, and since when it counts: money in hours, days, months and for good; rates in the last minute."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from spanwell_proxy.caller import Limits

Unit = Literal["usd", "requests", "tokens", "slots"]
Scope = Literal["key", "team", "user", "model", "tag", "gateway"]
Window = Literal["hour", "day", "month", "total", "minute", "now"]

CALENDAR: Final[tuple[Window, ...]] = ("hour", "day", "month", "total")
MINUTE_S: Final = 60


class Limit(NamedTuple):
    """At most `amount` units of a quota in a `window`. `soft` is where the downgrade to a model begins."""

    window: Window
    amount: int
    soft: int | None = None
    downgrade: str = ""


@dataclass(frozen=True)
class Quota:
    """One unit of one key, team, user, model, tag or of the whole gateway. Without limits it is only counted."""

    unit: Unit
    scope: Scope
    who: str
    limits: tuple[Limit, ...] = ()
    id: str = field(init=False, default="")
    is_budget: bool = field(init=False, default=False)
    is_soft: bool = field(init=False, default=False)  # a limit of it begins to matter before it is used up
    amounts: tuple[int, ...] = field(init=False, default=())  # of its limits

    def __post_init__(self) -> None:  # what every call asks for is worked out once
        object.__setattr__(self, "id", f"{self.unit}:{self.scope}:{self.who}")
        object.__setattr__(self, "is_budget", self.unit == "usd" and bool(self.limits))
        object.__setattr__(self, "is_soft", self.is_budget and any(limit.soft is not None for limit in self.limits))
        object.__setattr__(self, "amounts", tuple(limit.amount for limit in self.limits))


@lru_cache(4096)
def make_quotas(scope: Scope, who: str, limits: Limits, *, counted: bool) -> tuple[Quota, ...]:
    """The quotas of `limits`; what is spent is `counted` for some though nothing bounds it."""
    made = []
    if limits.budgets or counted:
        made.append(Quota("usd", scope, who, tuple(_budget_limits(limits))))
    for unit, window, amount in (
        ("requests", "minute", limits.rpm),
        ("tokens", "minute", limits.tpm),
        ("slots", "now", limits.concurrency),
    ):
        if amount is not None:
            made.append(Quota(unit, scope, who, (Limit(window, amount),)))  # type: ignore[arg-type]
    return tuple(made)


def _budget_limits(limits: Limits) -> list[Limit]:
    return [
        Limit(
            budget.period,
            budget.limit_pusd,
            None if budget.soft is None else int(budget.limit_pusd * budget.soft),
            budget.downgrade,
        )
        for budget in limits.budgets
    ]


def began_at(window: Window, now: float) -> int:
    """From when on what was used counts at `now`, in seconds since 1970.

    A second that is partly more than a minute ago still counts: a sliding minute never admits too much.
    """
    if window == "minute":
        return int(now) - MINUTE_S
    return calendar_of(int(now) // 3600)[CALENDAR.index(window)][0] if window != "now" else 0


def ends_at(window: Window, now: float) -> float | None:
    """When the window of the calendar ends that `now` is in; a total never does."""
    return calendar_of(int(now) // 3600)[CALENDAR.index(window)][1] if window in CALENDAR else None


@lru_cache(256)
def calendar_of(hour: int) -> tuple[tuple[int, float | None], ...]:
    """Beginning and end of each window of CALENDAR that holds the `hour`, counted from 1970, in UTC."""
    began = datetime.fromtimestamp(hour * 3600, UTC)
    day = began.replace(hour=0)
    month = day.replace(day=1)
    spans = (
        (began, began + timedelta(hours=1)),
        (day, day + timedelta(days=1)),
        (month, (month + timedelta(days=32)).replace(day=1)),
    )
    return (*((int(start.timestamp()), end.timestamp()) for start, end in spans), (0, None))
