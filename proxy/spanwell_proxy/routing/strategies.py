"""The strategies: each says with which probability every candidate is chosen, given all that is known.

Drawing comes later and is the same for all, so the probability of a decision is exact. Of candidates that are equal
each has its weight.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from spanwell_proxy.routing.asked import Asked
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.policy import Policy, Strategy
from spanwell_proxy.routing.prefix import rank

UNKNOWN_S = 1.0  # the latency of a deployment that has calls and has answered none
FULL_CACHE = 0.95
Candidates = Sequence[Candidate]
Shares = Sequence[float]


def by_weight(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:  # noqa: ARG001
    """LiteLLM's `simple-shuffle`."""
    weights = [one.deployment.weight for one in candidates]
    total = sum(weights)
    return [weight / total for weight in weights] if total > 0 else [1 / len(weights)] * len(weights)


def by_calls(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:
    """To whom has the fewest calls under way for its weight: this worker's, or all of them where the backend says."""
    loads = [(one.facts.busy(now) + 1) / (one.deployment.weight or 1e-9) for one in candidates]
    return _share_lowest(candidates, loads, asked, policy, now)


def by_tokens(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:
    """To whom has had the fewest tokens in the last minute for its weight."""
    used = [one.facts.spent_tokens(now) / (one.deployment.weight or 1e-9) for one in candidates]
    return _share_lowest(candidates, used, asked, policy, now)


def by_latency(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:  # noqa: ARG001
    """Power of two choices over peak-EWMA times calls under way: the better of any two, so no herd runs to the best.

    Mitzenmacher: The power of two choices in randomized load balancing, 2001. Instead of drawing a pair its outcome
    is summed over all pairs, which gives the same decisions and their probabilities.
    """
    count = len(candidates)
    if count == 1:
        return (1.0,)
    costs, stream = [], asked.stream
    for deployment, facts, _ in candidates:
        busy = facts.busy(now)
        latency_s = facts.latency_s(stream=stream) or (UNKNOWN_S if busy else 0.0)
        costs.append(latency_s * (busy + 1) / (deployment.weight or 1e-9))
    ordered, pairs = sorted(costs), count * (count - 1)
    # Of its count-1 pairs a candidate wins those with a dearer one, and half of those with an equal one.
    return [(2 * count - bisect_right(ordered, cost) - bisect_left(ordered, cost) - 1) / pairs for cost in costs]


def by_cost(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:
    """To whom the call is expected to cost the least."""
    costs = [expected_usd(one, asked, policy) for one in candidates]
    return _share_lowest(candidates, costs, asked, policy, now)


def by_quality(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:
    """The best judged of those within the budget; the cheapest where none is. What nobody judged comes last."""
    costs = [expected_usd(one, asked, policy) for one in candidates]
    if min(costs) > policy.budget_usd:
        return _share_lowest(candidates, costs, asked, policy, now)
    # Of equally good ones the cheaper.
    worst = [
        (True, cost, 0.0) if cost > policy.budget_usd else (False, -_quality(one), cost)
        for one, cost in zip(candidates, costs, strict=True)
    ]
    return _share_lowest(candidates, worst, asked, policy, now)


def by_prefix(candidates: Candidates, asked: Asked, policy: Policy, now: float) -> Shares:
    """To whom has read the prompt's beginning before, as long as it has not too much to do."""
    key = asked.prefix
    ranks = [rank(key, one.traits.hashed_id, one.deployment.weight or 1e-9) for one in candidates]
    loads = [one.facts.busy(now) for one in candidates]
    weights = [one.deployment.weight or 1e-9 for one in candidates]
    room = policy.load_bound * (sum(loads) + 1) / sum(weights)
    best, found = -1, -1.0
    for index, (one, load, weight) in enumerate(zip(candidates, loads, weights, strict=True)):
        if load + 1 <= math.ceil(room * weight) and not _is_full(one) and ranks[index] > found:
            best, found = index, ranks[index]
    if best < 0:
        best = ranks.index(max(ranks))
    return [float(index == best) for index in range(len(candidates))]


def expected_usd(candidate: Candidate, asked: Asked, policy: Policy) -> float:
    """What the call may be expected to cost: its tokens as estimated, and an answer as long as its answers are."""
    if candidate.traits.input_usd == math.inf:
        return math.inf
    output = candidate.facts.output_tokens or policy.output_tokens
    if asked.most_output is not None:
        output = min(output, asked.most_output)
    traits = candidate.traits
    return asked.input_tokens * traits.input_usd + output * traits.output_usd


def _quality(candidate: Candidate) -> float:
    return -1.0 if candidate.facts.quality is None else candidate.facts.quality


def _share_lowest(candidates: Candidates, values: Sequence[Any], asked: Asked, policy: Policy, now: float) -> Shares:
    lowest = min(values)
    if values.count(lowest) == 1:
        return [float(value == lowest) for value in values]
    lows = [one for one, value in zip(candidates, values, strict=True) if value == lowest]
    shares = iter(by_weight(lows, asked, policy, now))
    return [next(shares) if value == lowest else 0.0 for value in values]


def _is_full(candidate: Candidate) -> bool:
    """vLLM is out of room for new prompts: they wait, or push others out."""
    facts = candidate.facts
    return bool(facts.waiting and facts.cache_use is not None and facts.cache_use >= FULL_CACHE)


SHARES: Final[Mapping[Strategy, Callable[[Candidates, Asked, Policy, float], Shares]]] = {
    "weighted": by_weight,
    "least-busy": by_calls,
    "least-used": by_tokens,
    "lowest-latency": by_latency,
    "lowest-cost": by_cost,
    "best-quality": by_quality,
    "prefix-affinity": by_prefix,
}
