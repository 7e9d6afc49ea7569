"""One quota as a worker holds it: what it may use without asking, what it used, and how things stand with everybody."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import sub
from typing import Final

from spanwell_proxy.limits.quotas import CALENDAR, Quota, began_at
from spanwell_proxy.limits.store import Spend

LEASE_S: Final = 1.0  # a lease lasts about so long at the pace of late
FIRST_LEASE: Final = 4  # calls' worth, whatever the pace


@dataclass(slots=True, eq=False)
class Account:
    """What a worker holds of one quota. `free` of it is held and not reserved by a running call."""

    quota: Quota
    held: int = 0
    reserved: int = 0
    low: int = 0  # free below which more is asked for
    busy: bool = False  # calls wait in line, here or in other workers: nobody passes them
    contended: bool = False  # in other workers: nothing free is kept from them
    released: bool = False  # give back what is free with the next order
    taken: int = 0  # since the last order, to see the pace
    latest: int = 0  # what the latest call took
    asked_at: float = 0.0
    taken_at: float = 0.0
    told_at: float = 0.0  # when the store last said how things stand
    told_need: int = 0
    used: list[int] = field(default_factory=list)  # by everybody, one number a limit: as told, and by this worker since
    reserved_elsewhere: int = 0
    recent: tuple[tuple[int, int], ...] = ()
    spends: dict[int, int] = field(default_factory=dict)  # by hour or second, not told yet
    sent: tuple[Spend, ...] = ()  # told, not confirmed yet
    # A request is used when it begins, whatever becomes of it; other units when the call has ended.
    counts_at_once: bool = field(init=False)
    window_s: int = field(init=False)  # by which spends are added up

    def __post_init__(self) -> None:
        self.counts_at_once = self.quota.unit == "requests"
        self.window_s = 3600 if self.quota.unit == "usd" else 1

    @property
    def free(self) -> int:
        return self.held - self.reserved

    @property
    def left(self) -> int:
        """Of the tightest limit, as far as it was told."""
        lefts: Iterable[int] = map(sub, self.quota.amounts, self.used)
        return min(lefts)

    def spend(self, amount: int, now: float) -> None:
        window = int(now) // self.window_s * self.window_s
        self.spends[window] = self.spends.get(window, 0) + amount
        self.held -= amount
        for at in range(len(self.used)):
            self.used[at] += amount


def more_than_free(account: Account, now: float) -> int:
    """How much more than is free would last for a while at the pace of late, and for a few calls at any rate."""
    passed = max(now - account.asked_at, 0.001)
    target = max(int(account.taken * min(FIRST_LEASE, LEASE_S / passed)), account.latest * FIRST_LEASE)
    account.asked_at, account.taken = now, 0
    return max(0, target - max(0, account.free))


def list_spends(quota: Quota, spends: dict[int, int]) -> Iterable[Spend]:
    """By every window of the calendar for money, whatever the limits are: others may be set later."""
    for began, amount in spends.items():
        if quota.unit == "usd":
            for window in CALENDAR:
                yield Spend(window, began_at(window, began), amount)
        elif quota.unit != "slots":
            yield Spend("minute", began, amount)
