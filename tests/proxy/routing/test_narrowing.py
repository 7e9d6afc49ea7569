"""Who may answer: tags, tiers, context, complexity, order, the arm of an experiment."""

import pytest

from spanwell_proxy.failures import ApiError
from spanwell_proxy.routing.asked import Asked, Assignment
from spanwell_proxy.routing.choosing import choose
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.policy import Policy
from tests.proxy.routing.candidates import candidates, weighted

HARD = {
    "messages": [
        {"role": "user", "content": "Prove step by step why the theorem holds; derive the integral and compare."}
    ]
}


def chosen(group: tuple[Candidate, ...], asked: Asked, policy: Policy, tried: tuple[str, ...] = ()) -> set[str]:
    return {choose(group, asked, policy, tried, 0.0, roll / 10).deployment.id for roll in range(10)}


def tagged() -> tuple[Candidate, ...]:
    return candidates({"tags": ["eu", "fast"]}, {"tags": ["us"]}, {"tags": ["default"]})


@pytest.mark.parametrize(
    ("tags", "ids"),
    [({"eu"}, {"fox-0"}), ({"eu", "us"}, {"fox-0", "fox-1"}), (set(), {"fox-2"}), ({"asia"}, {"fox-2"})],
)
def test_tags_choose_deployments_as_with_litellm(tags: set[str], ids: set[str]) -> None:
    assert chosen(tagged(), Asked({}, 10, tags=frozenset(tags)), Policy(by_tags=True)) == ids


def test_all_tags_may_be_asked_for() -> None:
    asked = Asked({}, 10, tags=frozenset({"eu", "fast"}))

    assert chosen(tagged(), asked, Policy(by_tags=True, all_tags=True)) == {"fox-0"}


def test_tags_that_nobody_has_are_refused() -> None:
    with pytest.raises(ApiError, match="no deployment takes calls tagged asia"):
        chosen(tagged()[:2], Asked({}, 10, tags=frozenset({"asia"})), Policy(by_tags=True))


@pytest.mark.parametrize(("tier", "ids"), [("premium", {"fox-1"}), ("free", {"fox-0"}), ("", {"fox-0"})])
def test_a_tier_has_its_deployments_and_a_stranger_the_first_tiers(tier: str, ids: set[str]) -> None:
    policy = Policy(tiers={"free": frozenset({"fox-0"}), "premium": frozenset({"fox-1"})})

    assert chosen(weighted(1, 1), Asked({}, 10, tier=tier), policy) == ids


def test_a_prompt_that_is_too_long_goes_where_it_fits() -> None:
    group = weighted(1, 1)
    group[0].facts.max_tokens = 1000

    small, long, answer = (
        chosen(group, Asked({}, size, most_output=most), Policy())
        for size, most in ((400, None), (40_000, None), (400, 2000))
    )

    assert (small, long, answer) == ({"fox-0", "fox-1"}, {"fox-1"}, {"fox-1"})


def test_a_prompt_that_fits_nowhere_is_left_to_a_backend_to_refuse() -> None:
    group = weighted(1)
    group[0].facts.max_tokens = 1000

    assert chosen(group, Asked({}, 40_000), Policy()) == {"fox-0"}


def test_a_hard_question_goes_to_the_large_model_and_a_greeting_to_the_small_one() -> None:
    policy = Policy(levels=((0.3, frozenset({"fox-0"})), (1.0, frozenset({"fox-1"}))))
    easy = {"messages": [{"role": "user", "content": "Hello there"}]}

    assert chosen(weighted(1, 1), Asked(HARD, 100), policy) == {"fox-1"}
    assert chosen(weighted(1, 1), Asked(easy, 100), policy) == {"fox-0"}


def test_complexity_is_a_wish_where_the_wished_for_has_failed() -> None:
    policy = Policy(levels=((0.3, frozenset({"fox-0"})), (1.0, frozenset({"fox-1"}))))

    assert chosen(weighted(1, 1), Asked(HARD, 100), policy, tried=("fox-1",)) == {"fox-0"}


def test_lower_orders_come_first() -> None:
    group = candidates({"order": 1}, {"order": 2})

    assert chosen(group, Asked({}, 10), Policy()) == {"fox-0"}
    assert chosen(group, Asked({}, 10), Policy(), tried=("fox-0",)) == {"fox-1"}


def test_an_arm_that_names_a_deployment_has_it_and_multiplies_its_own_probability() -> None:
    asked = Asked({}, 10, assignment=Assignment("trial", "new", 0.25, "fox-1"))

    decision = choose(weighted(1, 1), asked, Policy(), (), 0.0, 0.0)

    assert (decision.deployment.id, decision.probability, decision.arm) == ("fox-1", 0.25, "new")
