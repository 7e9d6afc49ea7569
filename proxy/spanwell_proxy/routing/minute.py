"""What a deployment was asked in the last minute, where it takes only so much. Pure: the clock is an argument."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0


@dataclass(slots=True, eq=False)
class Minute:
    """Seconds of the monotonic clock. Each method says until when the deployment is full; 0 where it is not."""

    begun: deque[float] = field(default_factory=deque)
    used: deque[tuple[float, int]] = field(default_factory=deque)
    tokens: int = 0

    def begin(self, now: float, rpm: int) -> float:
        """An attempt starts, of at most `rpm` in any minute."""
        begun = self.begun
        begun.append(now)
        while begun[0] <= now - WINDOW_S:
            begun.popleft()
        return begun[-rpm] + WINDOW_S if rpm and len(begun) >= rpm else 0.0

    def use(self, now: float, tokens: int, tpm: int) -> float:
        """An attempt has used tokens, of at most `tpm` in any minute."""
        self.used.append((now, tokens))
        self.tokens += tokens
        while self.used[0][0] <= now - WINDOW_S:
            self.tokens -= self.used.popleft()[1]
        left = self.tokens
        for began, some in self.used:
            if left < tpm:
                return 0.0
            left -= some
            if left < tpm:
                return began + WINDOW_S
        return 0.0
