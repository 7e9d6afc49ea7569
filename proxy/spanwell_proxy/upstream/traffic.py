"""What a worker remembers of its attempts between calls: how long answers took of late, and who waits for room."""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.upstream.admission import Admission
from spanwell_proxy.upstream.settings import Knobs, Resilience

MOST_KNOWN: Final = 4096  # names that wildcards catch come from clients
SAMPLES: Final = 200
FEWEST_SAMPLES: Final = 20  # a quantile of less says nothing


class Traffic:
    """`resilience` is what new calls go by; what is remembered is shared by all that follow each other."""

    def __init__(self, resilience: Resilience) -> None:
        self.admission = Admission()
        self.find = lru_cache(MOST_KNOWN)(resilience.find)
        self._find_model = lru_cache(MOST_KNOWN)(resilience.find_model)
        self._samples: dict[str, deque[float]] = {}

    def follow(self, resilience: Resilience) -> "Traffic":
        """The same worker under another configuration."""
        traffic = Traffic(resilience)
        traffic.admission, traffic._samples = self.admission, self._samples
        return traffic

    def find_model(self, model: str, group: Sequence[Candidate]) -> Knobs:
        """What holds for a model name, whose deployments are `group`."""
        route = group[0].deployment.route if group else ""
        return self._find_model(model, route if "*" in route else "")

    def list_limits(self, model: str, group: Sequence[Candidate]) -> list[int | None] | None:
        """How many attempts each takes at a time; None where neither they nor their model name have a bound."""
        limits = [self.find(model, one.deployment).concurrency for one in group]
        bounded = self.find_model(model, group).concurrency is not None or any(limit is not None for limit in limits)
        return limits if bounded else None

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
