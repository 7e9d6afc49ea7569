"""Who calls, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal


@dataclass(frozen=True)
class Budget:
    """At most `limit_pusd` picodollars (1e-12 US dollars, so that sums are whole numbers) in each `period`."""

    period: Literal["hour", "day", "month", "total"]
    limit_pusd: int


@dataclass(frozen=True)
class Caller:
    """Who calls. `models` empty means any; the operator holds the master key, or nobody asks for keys at all."""

    key_id: str = ""
    team: str = ""
    user: str = ""
    models: frozenset[str] = frozenset()
    budgets: tuple[Budget, ...] = ()
    expires_at: float | None = None  # seconds since 1970
    metadata: Mapping[str, Any] = field(default_factory=dict)
    operator: bool = False


NOBODY: Final = Caller()
