"""Who may answer a request, and who should: what is decided before any strategy shares the calls."""

from collections.abc import Sequence

from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.asked import Asked
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.policy import Names, Policy

ANYBODY = "default"  # LiteLLM's tag of a deployment that also takes what has no tag, or none that fits


def leave_out(candidates: Sequence[Candidate], asked: Asked, policy: Policy) -> Sequence[Candidate]:
    """Those that may answer. Raises ApiError 403 where tags or tier leave nobody."""
    able = candidates
    if policy.by_tags:
        able = _with_tags(able, asked.tags, all_of_them=policy.all_tags)
    if policy.tiers:
        able = _of_tier(able, asked.tier, policy)
    if asked.size_bytes and len(able) > 1:  # the only one is asked at any rate: it says itself that it is too small
        able = _that_hold(able, asked)
    return able


def prefer(candidates: Sequence[Candidate], asked: Asked, policy: Policy) -> Sequence[Candidate]:
    """Those that should: of the experiment's arm, and of the request's complexity. Maybe nobody."""
    given = asked.assignment
    if given and given.deployment:
        return [one for one in candidates if one.deployment.id == given.deployment]
    if policy.levels:
        names = find_level(asked.complexity(policy.scale).score, policy)
        return [one for one in candidates if is_named(one, names)]
    return candidates


def find_level(score: float, policy: Policy) -> Names:
    """Whom a complexity belongs to."""
    return next((names for most, names in policy.levels if score <= most), policy.levels[-1][1])


def is_named(candidate: Candidate, names: Names) -> bool:
    deployment = candidate.deployment
    return deployment.model_name in names or deployment.id in names


def _with_tags(candidates: Sequence[Candidate], tags: frozenset[str], *, all_of_them: bool) -> Sequence[Candidate]:
    """As LiteLLM does: who has the tags, else who is anybody's; a call without tags is for those too, else for all."""
    anybody = [one for one in candidates if ANYBODY in one.traits.tags]
    if not tags:
        return anybody or candidates
    able = [one for one in candidates if (tags <= one.traits.tags if all_of_them else tags & one.traits.tags)]
    if not able and not anybody:
        raise ApiError(403, "no_deployment_for_tags", f"no deployment takes calls tagged {', '.join(sorted(tags))}")
    return able or anybody


def _of_tier(candidates: Sequence[Candidate], tier: str, policy: Policy) -> Sequence[Candidate]:
    names = policy.tiers[tier if tier in policy.tiers else next(iter(policy.tiers))]
    able = [one for one in candidates if is_named(one, names)]
    if not able:
        raise ApiError(403, "no_deployment_for_tier", f"no deployment takes calls of the tier {tier!r}")
    return able


def _that_hold(candidates: Sequence[Candidate], asked: Asked) -> Sequence[Candidate]:
    """Those whose context holds the prompt, and the answer too. All, where none does: a backend says why."""
    needed = asked.input_tokens
    large = [
        one
        for one in candidates
        if needed <= one.traits.max_input and needed + (asked.most_output or 0) <= one.facts.max_tokens
    ]
    return large or candidates
