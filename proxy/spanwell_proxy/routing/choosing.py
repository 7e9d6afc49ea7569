"""Which deployment answers next: a pure decision, with the probability it was made with."""

from collections.abc import Sequence
from typing import NamedTuple

from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.routing.asked import NOTHING_ASKED, Asked
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.narrowing import leave_out, prefer
from spanwell_proxy.routing.policy import WEIGHTED, Policy
from spanwell_proxy.routing.prefix import MASK, SPREAD, mix
from spanwell_proxy.routing.strategies import SHARES, Shares, by_weight

__all__ = ["NOTHING_ASKED", "WEIGHTED", "Asked", "Decision", "Policy", "choose", "draw_roll", "foresee", "share"]


class Decision(NamedTuple):
    """`probability` is that of this deployment among all that could have been chosen, given all that was known.

    Where the call is part of an experiment, that of its arm is multiplied in.
    """

    candidate: Candidate
    probability: float
    strategy: str
    policy: str
    experiment: str = ""
    arm: str = ""

    @property
    def deployment(self) -> Deployment:
        return self.candidate.deployment


def choose(
    candidates: Sequence[Candidate], asked: Asked, policy: Policy, tried: Sequence[str], now: float, roll: float
) -> Decision:
    """One of `candidates`, which are sorted by their order; `roll` in [0, 1). Those not `tried` and ready come first.

    When none is ready the one that is soonest answers: a breaker moves traffic, it never refuses it. Raises ApiError
    403 where the caller's tags or tier leave nobody.
    """
    able = leave_out(candidates, asked, policy)
    if len(able) == 1 and able[0].facts.is_ready(now):
        return _decide(able[0], 1.0, policy.strategy, policy, asked)
    fresh = _find_fresh(able, asked, policy, tried, now)
    if not fresh:
        return _decide(min(able, key=_ready_at), 1.0, "last-resort", policy, asked)
    if len(fresh) == 1:
        return _decide(fresh[0], 1.0, policy.strategy, policy, asked)
    shares = share(fresh, asked, policy, now)
    index, last = 0, len(fresh) - 1
    while index < last and roll >= shares[index]:
        roll -= shares[index]
        index += 1
    while not shares[index]:  # what rounding left of the roll belongs to one that has a share
        index -= 1
    return _decide(fresh[index], shares[index], policy.strategy, policy, asked)


def share(candidates: Sequence[Candidate], asked: Asked, policy: Policy, now: float) -> Shares:
    """The probability of each: what the strategy says, and a part by weight to explore."""
    shares = SHARES[policy.strategy](candidates, asked, policy, now)
    if not policy.explore:
        return shares
    weights = by_weight(candidates, asked, policy, now)
    kept = 1 - policy.explore
    return [kept * chosen + policy.explore * weight for chosen, weight in zip(shares, weights, strict=True)]


def foresee(candidates: Sequence[Candidate], asked: Asked, policy: Policy, now: float) -> dict[str, float]:
    """The probability of each deployment, by id, were it chosen now. Raises ApiError 403 as `choose` does."""
    able = leave_out(candidates, asked, policy)
    fresh = _find_fresh(able, asked, policy, (), now) or [min(able, key=_ready_at)]
    shares = dict.fromkeys((one.deployment.id for one in candidates), 0.0)
    return shares | {
        one.deployment.id: given for one, given in zip(fresh, share(fresh, asked, policy, now), strict=True)
    }


def draw_roll(seed: bytes, turn: int) -> float:
    """A number in [0, 1) for each attempt of a call, from its random id."""
    return (mix(int.from_bytes(seed) + turn * SPREAD & MASK) >> 11) * 2.0**-53


def _find_fresh(
    able: Sequence[Candidate], asked: Asked, policy: Policy, tried: Sequence[str], now: float
) -> Sequence[Candidate]:
    ready = [one for one in able if one.facts.is_ready(now)]
    fresh = [one for one in ready if one.deployment.id not in tried] if tried else ready
    if asked.assignment or policy.levels:
        fresh = list(prefer(fresh, asked, policy)) or fresh
    return _first_in_order(fresh or ready)


def _first_in_order(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Lower orders are asked before higher ones. They come sorted."""
    lowest = candidates[0].traits.order if candidates else 0
    if not candidates or candidates[-1].traits.order == lowest:
        return candidates
    return [one for one in candidates if one.traits.order == lowest]


def _decide(candidate: Candidate, probability: float, strategy: str, policy: Policy, asked: Asked) -> Decision:
    given = asked.assignment
    if given is None:
        return Decision(candidate, probability, strategy, policy.name)
    return Decision(candidate, probability * given.probability, strategy, policy.name, given.experiment, given.arm)


def _ready_at(candidate: Candidate) -> tuple[bool, bool, float]:
    facts = candidate.facts
    return facts.is_drained, not facts.is_up, max(facts.breaker.ready_at, facts.full_until)
