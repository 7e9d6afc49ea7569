"""The gauges that a worker sets now and then: what it uses, what waits, which breakers are open, what budgets allow."""

import resource
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from spanwell_proxy.telemetry import metrics

STATES: Final = {"closed": 0, "half-open": 1, "open": 2}
PAGE_BYTES: Final = resource.getpagesize()
MOST_BUDGETS: Final = 200
STATM: Final = Path("/proc/self/statm")


class Breaker(Protocol):
    """A deployment's breaker, as far as it is shown."""

    def state(self, now: float) -> str: ...


class Left(NamedTuple):
    """What is left of a budget: its `scope` (key, team, model, ...), whose it is, and in which window."""

    scope: str
    owner: str
    period: str
    usd: Decimal


class Vitals:
    """Of one worker."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._budgets: set[tuple[str, str, str]] = set()

    def show(self, *, in_flight: int, waiting: int, breakers: Mapping[str, Breaker], now: float) -> None:
        """`now` is in seconds of the monotonic clock."""
        metrics.WORKERS.set(1)
        metrics.IN_FLIGHT.set(in_flight)
        metrics.WAITING.set(waiting)
        for deployment, breaker in breakers.items():
            metrics.BREAKER.labels(deployment).set(STATES[breaker.state(now)])
        self._show_process()

    def show_budgets(self, budgets: Iterable[Left]) -> None:
        """Not those of users: their names come from clients. Of more than MOST_BUDGETS the first that ran low."""
        for one in sorted(budgets, key=lambda one: one.usd):
            labels = (one.scope, one.owner, one.period)
            if one.scope == "user" or (labels not in self._budgets and len(self._budgets) >= MOST_BUDGETS):
                continue
            self._budgets.add(labels)
            metrics.BUDGET_LEFT.labels(*labels).set(float(one.usd))

    def _show_process(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        metrics.CPU.inc(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        if STATM.exists():
            metrics.RESIDENT.set(int(STATM.read_text(encoding="ascii").split()[1]) * PAGE_BYTES)
