"""How the calls of a model name are shared among its deployments: what is configured, as one value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from spanwell_proxy.routing.complexity import DEFAULT_SCALE, Scale

Strategy = Literal[
    "weighted", "least-busy", "least-used", "lowest-latency", "lowest-cost", "best-quality", "prefix-affinity"
]
STRATEGIES: Final = get_args(Strategy)
Names = frozenset[str]  # of models, or of deployments


@dataclass(frozen=True, slots=True)
class Policy:
    """First some candidates are left out (tags, context, tier, complexity), then the strategy shares among the rest.

    `explore` is the probability of a choice by weight alone, so that all are heard of and off-policy estimates exist.
    """

    name: str = ""
    strategy: Strategy = "weighted"
    explore: float = 0.0
    models: tuple[str, ...] = ()  # a route over these models' deployments; empty: the name's own
    by_tags: bool = False
    all_tags: bool = False  # a deployment must have all of a request's tags, not any
    tiers: Mapping[str, Names] = field(default_factory=dict)  # of users; who names none of these has the first
    levels: tuple[tuple[float, Names], ...] = ()  # up to which complexity whom
    scale: Scale = DEFAULT_SCALE
    budget_usd: float = math.inf  # that a call may be expected to cost, for the best quality
    output_tokens: int = 500  # expected of an answer while nothing is known
    load_bound: float = 1.25  # of the average load, beyond which a prefix goes to the next

    @property
    def narrows(self) -> bool:
        """Whether anything but the strategy decides."""
        return bool(self.by_tags or self.tiers or self.levels)


WEIGHTED: Final = Policy()
