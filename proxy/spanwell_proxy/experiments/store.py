"""What the workers share of experiments: what was decided, and what was observed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from spanwell.errors import SpanwellError
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import State

Counts = Mapping[tuple[str, str], Tally]  # by arm and metric


class StoreAwayError(SpanwellError):
    """The store cannot be asked now."""


class Observation(NamedTuple):
    """One call of an arm. `trial` is one run of an experiment; a `unit` counts once in it, 0 is one of its own."""

    trial: str
    arm: str
    unit: int  # 63 bits
    values: tuple[tuple[str, float], ...]  # by metric


class Shared(NamedTuple):
    """All that was decided, by experiment, and observed, by trial."""

    states: Mapping[str, State]
    counts: Mapping[str, Counts]


class TrialStore(Protocol):
    """Both stores pass the same tests. All raise StoreAwayError."""

    async def sync(self, observations: Sequence[Observation], trials: Sequence[str]) -> Shared:
        """Add what was observed, and read everything of these trials."""

    async def decide(self, name: str, state: State, *, only_if: State | None = None) -> bool:
        """Change an experiment's state; with `only_if` not where somebody else has, and false then."""

    async def replace(self, trial: str, counts: Counts) -> None:
        """Tallies that are read from elsewhere as a whole."""

    async def close(self) -> None: ...
