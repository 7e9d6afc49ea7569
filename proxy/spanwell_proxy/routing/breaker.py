"""Whether a deployment may be asked at all, from how its last attempts ended. Pure: the clock is an argument."""

from dataclasses import dataclass

FAILURES_TO_COOL = 3  # in a row
COOL_S = 5.0
LONGEST_COOL_S = 60.0


@dataclass(slots=True)
class Breaker:
    """What one deployment did lately. `ready_at` is in seconds of the monotonic clock."""

    failures: int = 0
    ready_at: float = 0.0

    def is_ready(self, now: float) -> bool:
        return self.ready_at <= now

    def succeed(self) -> None:
        self.failures = 0
        self.ready_at = 0.0

    def fail(self, now: float, retry_after_s: float | None) -> None:
        self.failures += 1
        if retry_after_s is not None:
            self.ready_at = now + min(retry_after_s, LONGEST_COOL_S)
        elif self.failures >= FAILURES_TO_COOL:
            self.ready_at = now + COOL_S
