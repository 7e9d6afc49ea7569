"""Whether a deployment may be asked at all, from how its last attempts ended. Pure: the clock is an argument.

Closed, it lets everything through. It opens after some failures in a row, or when too large a share of a window's
attempts failed. After a while it is half open: a few attempts probe; one success each closes it, one failure opens it
again, for twice as long.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

LONGEST_WAIT_S: Final = 60.0  # that a backend may ask for, before others ask it again

State = Literal["closed", "open", "half-open"]


class Rules(NamedTuple):
    """When a breaker opens, and for how long. Nought failures, or a rate above 1, never open it."""

    failures: int = 3  # in a row
    failure_rate: float = 0.5  # of the window's attempts
    min_attempts: int = 20  # fewer in a window say nothing
    window_s: float = 30.0
    cool_s: float = 5.0
    longest_cool_s: float = 60.0
    probes: int = 1  # at a time while half open, and successes to close


RULES: Final = Rules()


@dataclass(slots=True)
class Breaker:
    """What one deployment did lately. Times are seconds of the monotonic clock."""

    rules: Rules = RULES
    failures: int = 0  # in a row
    ready_at: float = 0.0  # asked for by the backend, or the end of the cooling
    opened: int = 0  # times in a row, without a success between
    probing: int = 0  # attempts under way while half open
    passed: int = 0  # probes that went well
    window_at: float = 0.0
    attempts: int = 0  # in the present half of the window, and in the one before
    failed: int = 0
    attempts_before: int = 0
    failed_before: int = 0

    def is_ready(self, now: float) -> bool:
        return self.ready_at <= now and (not self.opened or self.probing < self.rules.probes)

    def state(self, now: float) -> State:
        if not self.opened:
            return "closed"
        return "half-open" if self.ready_at <= now else "open"

    def begin(self) -> bool:
        """An attempt starts; true if it is a probe, which `succeed`, `fail` and `drop` want to know."""
        self.probing += self.opened > 0
        return self.opened > 0

    def drop(self, *, probe: bool) -> None:
        """It ended without saying anything of the deployment."""
        self.probing -= probe and self.probing > 0

    def succeed(self, now: float = 0.0, *, probe: bool = False) -> None:
        self.drop(probe=probe)
        self._count(now, failed=False)
        self.failures = 0
        if self.opened:
            self.passed += 1
            if self.passed < self.rules.probes:
                return
            self._forget()
        self.ready_at = 0.0

    def fail(self, now: float, retry_after_s: float | None, *, probe: bool = False, most: int | None = None) -> None:
        """`retry_after_s` is for how long the backend itself asks to be left alone.

        `most` failures in a row are let pass of this kind, where that is not for the rules to say.
        """
        self.drop(probe=probe)
        self._count(now, failed=True)
        self.failures += 1
        if retry_after_s is not None:
            self.ready_at = max(self.ready_at, now + min(retry_after_s, LONGEST_WAIT_S))
        if self.opened:
            # Attempts that began before it opened prove nothing new while it is open.
            if probe or self.ready_at <= now:
                self._open(now)
        elif self._is_tripped(self.rules.failures if most is None else most + 1):
            self._open(now)

    def _is_tripped(self, failures: int) -> bool:
        rules = self.rules
        if 0 < failures <= self.failures:
            return True
        attempts, failed = self.attempts + self.attempts_before, self.failed + self.failed_before
        return attempts >= rules.min_attempts and failed >= rules.failure_rate * attempts

    def _open(self, now: float) -> None:
        cool_s = min(self.rules.longest_cool_s, self.rules.cool_s * 2.0 ** min(self.opened, 10))
        self.opened += 1
        self.passed = 0
        self.ready_at = max(self.ready_at, now + cool_s)

    def _forget(self) -> None:
        self.opened = self.passed = 0
        self.attempts = self.failed = self.attempts_before = self.failed_before = 0

    def _count(self, now: float, *, failed: bool) -> None:
        half_s = self.rules.window_s / 2
        if now - self.window_at >= half_s:
            recent = now - self.window_at < 2 * half_s
            self.attempts_before, self.failed_before = (self.attempts, self.failed) if recent else (0, 0)
            self.attempts = self.failed = 0
            self.window_at = now
        self.attempts += 1
        self.failed += failed
