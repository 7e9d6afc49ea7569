"""What a worker remembers of its attempts between calls: how long answers took of late, and who waits for room."""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.upstream.admission import Admission
from spanwell_proxy.upstream.settings import SHORTEST_DEADLINE_S, Knobs, Resilience

MOST_KNOWN: Final = 4096  # names that wildcards catch come from clients
SAMPLES: Final = 200
FEWEST_SAMPLES: Final = 20  # a quantile of less says nothing


class Line(NamedTuple):
    """The deployments of a model name, and what holds for them together."""

    group: Sequence[Candidate]
    knobs: Knobs
    limits: list[int | None] | None  # attempts each takes at a time; None where neither they nor the name have a bound
    deadline_s: float  # of a call with all its attempts


class Traffic:
    """`resilience` is what new calls go by; what is remembered is shared by all that follow each other."""

    def __init__(self, resilience: Resilience) -> None:
        self.admission = Admission()
        self.find = lru_cache(MOST_KNOWN)(resilience.find)
        self._resilience = resilience
        self._lines: dict[str, Line] = {}
        self._samples: dict[str, deque[float]] = {}

    def follow(self, resilience: Resilience) -> "Traffic":
        """The same worker under another configuration."""
        traffic = Traffic(resilience)
        traffic.admission, traffic._samples = self.admission, self._samples
        return traffic

    def line_up(self, model: str, group: Sequence[Candidate]) -> Line:
        """What holds for a model name, whose deployments are `group`: worked out when the group is another one."""
        known = self._lines.get(model)
        if known and known.group is group:
            return known
        if len(self._lines) >= MOST_KNOWN:
            self._lines.clear()
        line = self._lines[model] = self._line_up(model, group)
        return line

    def _line_up(self, model: str, group: Sequence[Candidate]) -> Line:
        route = group[0].deployment.route if group else ""
        knobs = self._resilience.find_model(model, route if "*" in route else "")
        limits = [self.find(model, one.deployment).concurrency for one in group]
        bounded = knobs.concurrency is not None or any(limit is not None for limit in limits)
        longest_s = max(SHORTEST_DEADLINE_S, *(one.deployment.timeout_s for one in group))
        return Line(group, knobs, limits if bounded else None, knobs.deadline_s or longest_s)

    def note(self, model: str, elapsed_s: float) -> None:
        """An answer of a model that is hedged has begun."""
        if len(self._samples) >= MOST_KNOWN:
            self._samples.clear()
        self._samples.setdefault(model, deque(maxlen=SAMPLES)).append(elapsed_s)

    def hedge_after_s(self, model: str, knobs: Knobs) -> float | None:
        """When a second attempt starts; None where it never does, or too little is known."""
        if knobs.hedge_quantile is None:
            return knobs.hedge_s
        seen = sorted(self._samples.get(model, ()))
        return seen[int(len(seen) * knobs.hedge_quantile)] if len(seen) >= FEWEST_SAMPLES else None
