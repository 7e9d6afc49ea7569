"""Which deployment answers next: a pure decision, with the probability it was made with."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.routing.facts import Candidate


class Asked(NamedTuple):
    """What routing may know of a request. Only what its policy looks at is filled in."""

    input_tokens: int = 0
    stream: bool = False


class Policy(NamedTuple):
    """How the deployments of a model name share its calls."""

    name: str = ""
    strategy: str = "weighted"


class Decision(NamedTuple):
    """`probability` is that of this deployment among all that could have been chosen, given all that was known."""

    candidate: Candidate
    probability: float
    strategy: str
    policy: str
    experiment: str = ""
    arm: str = ""

    @property
    def deployment(self) -> Deployment:
        return self.candidate.deployment


NOTHING_ASKED: Final = Asked()
WEIGHTED: Final = Policy()


def choose(
    candidates: Sequence[Candidate], asked: Asked, policy: Policy, tried: Sequence[str], now: float, roll: float
) -> Decision:
    """One of `candidates`, `roll` in [0, 1): those not `tried` in this call and ready come first.

    When none is ready the one that is soonest answers: a breaker moves traffic, it never refuses it.
    """
    ready = [one for one in candidates if one.facts.is_ready(now)]
    fresh = [one for one in ready if one.deployment.id not in tried] or ready
    if not fresh:
        return Decision(min(candidates, key=_ready_at), 1.0, "last-resort", policy.name)
    total = sum(one.deployment.weight for one in fresh)
    mark = roll * total
    for one in fresh:
        mark -= one.deployment.weight
        if mark < 0:
            return Decision(one, one.deployment.weight / total, policy.strategy, policy.name)
    return Decision(fresh[-1], fresh[-1].deployment.weight / (total or 1.0), policy.strategy, policy.name)


def _ready_at(candidate: Candidate) -> tuple[bool, float]:
    facts = candidate.facts
    return facts.is_drained or not facts.is_up, max(facts.breaker.ready_at, facts.full_until)
