"""What the workers of a gateway tell the store they share, and what it answers.

A worker holds leases: units that it may use without asking. What was spent and all that is held never exceed a limit
together, whatever the workers do; what they use comes out of what they hold.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from spanwell.errors import SpanwellError
from spanwell_proxy.limits.quotas import Window


class StoreAwayError(SpanwellError):
    """The store cannot be asked now."""


class Spend(NamedTuple):
    """Units used in the window that began at `began`, seconds since 1970."""

    window: Window
    began: int
    amount: int


class Bound(NamedTuple):
    """At most `amount` units since `began`."""

    window: Window
    began: int
    amount: int


class Order(NamedTuple):
    """What a worker says of one quota: used since it last told, still needed by running calls, free, and wanted.

    `need` is what calls wait for, the first of them for `first`, since `since`; `extra` would save the next order.
    """

    quota: str
    spends: tuple[Spend, ...]
    bounds: tuple[Bound, ...]
    reserved: int
    free: int
    need: int = 0
    first: int = 0
    since: float = 0.0
    extra: int = 0


class Grant(NamedTuple):
    """What the worker holds from now on, and how things stand with everybody.

    `used` is one number a bound; `recent` says when the last minute's units were used, where there were too few.
    """

    held: int
    used: tuple[int, ...]
    reserved_elsewhere: int
    others_wait: bool
    recent: tuple[tuple[int, int], ...] = ()


class Answer(NamedTuple):
    """One grant an order. `recalled` are quotas that others need units of which this worker holds."""

    now: float
    workers: int
    grants: tuple[Grant, ...]
    recalled: tuple[str, ...]


class Store(Protocol):
    """The shared state. `sync` may be repeated with the same `number` when its answer was lost: it books once."""

    async def sync(self, worker: str, number: int, orders: Sequence[Order], now: float | None) -> Answer:
        """Raises StoreAwayError. `now` is seconds since 1970; None asks the store's own clock."""

    async def leave(self, worker: str) -> None:
        """Give up everything the worker holds. Raises StoreAwayError."""

    async def read_spent(self, quota: str) -> list[Spend]:
        """All that is on record for a quota, oldest first. Raises StoreAwayError."""

    async def close(self) -> None: ...


ALIVE_S = 5.0  # a worker that said nothing for so long holds nothing any more
REMEMBERED_S = 3600.0  # for how long a worker's last number is known
HOURS_KEPT_S = 7 * 86400  # days, months and totals are kept for good
