"""Which deployment answers next, and how long to wait before trying again. Pure decisions; `Health` holds the facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from spanwell_proxy.config.routes import Deployment

FAILURES_TO_COOL = 3  # in a row
COOL_S = 5.0
LONGEST_COOL_S = 60.0
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 30.0  # a backend that asks for more is answered to the client as it is


@dataclass(slots=True)
class Health:
    """What one deployment did lately."""

    failures: int = 0
    cool_until: float = 0.0

    def succeed(self) -> None:
        self.failures = 0
        self.cool_until = 0.0

    def fail(self, now: float, retry_after_s: float | None) -> None:
        self.failures += 1
        if retry_after_s is not None:
            self.cool_until = now + min(retry_after_s, LONGEST_COOL_S)
        elif self.failures >= FAILURES_TO_COOL:
            self.cool_until = now + COOL_S


def pick(group: Sequence[tuple[Deployment, Health]], tried: Sequence[str], now: float, roll: float) -> Deployment:
    """One of `group` by weight, `roll` in [0, 1): those not tried in this call and not cooling come first.

    When all are cooling the one that is ready soonest answers: a cooldown moves traffic, it never refuses it.
    """
    ready = [deployment for deployment, health in group if health.cool_until <= now]
    fresh = [deployment for deployment in ready if deployment.id not in tried] or ready
    if not fresh:
        return min(group, key=lambda member: member[1].cool_until)[0]
    mark = roll * sum(deployment.weight for deployment in fresh)
    for deployment in fresh:
        mark -= deployment.weight
        if mark < 0:
            return deployment
    return fresh[-1]


def backoff_s(retry: int, retry_after_s: float | None, roll: float) -> float | None:
    """Seconds to wait before retry number `retry` (from 0), or None where the backend asks for too long a wait."""
    if retry_after_s is not None:
        return retry_after_s if retry_after_s <= LONGEST_RETRY_AFTER_S else None
    return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**retry) * (0.5 + roll / 2))
