"""What each strategy prefers, and that its probabilities are those of its choices."""

from collections import Counter

import pytest

from spanwell_proxy.routing.asked import NOTHING_ASKED, Asked
from spanwell_proxy.routing.choosing import choose, draw_roll, share
from spanwell_proxy.routing.policy import STRATEGIES, Policy, Strategy
from tests.proxy.routing.candidates import candidates, weighted

PRICES = [{"input_cost_per_token": 3e-6, "output_cost_per_token": 9e-6}, {"input_cost_per_token": 1e-6}]
ASKED = Asked({"model": "fox", "messages": [{"role": "user", "content": "Do foxes sleep?"}]}, 400)


def shares(policy: Policy, *group: object, now: float = 100.0) -> list[float]:
    return [round(one, 6) for one in share(group, ASKED, policy, now)]  # type: ignore[arg-type]


def test_the_least_busy_for_its_weight_is_chosen() -> None:
    first, second = weighted(1, 3)
    first.facts.in_flight, second.facts.in_flight = 2, 5

    assert shares(Policy(strategy="least-busy"), first, second) == [0.0, 1.0]


def test_what_a_backend_says_of_its_load_counts_while_it_is_fresh() -> None:
    first, second = weighted(1, 1)
    second.facts.in_flight = 3
    first.facts.note_load(99.0, waiting=4, running=8, cache_use=0.5)

    fresh, stale = (shares(Policy(strategy="least-busy"), first, second, now=now) for now in (100.0, 110.0))

    assert (fresh, stale) == ([0.0, 1.0], [1.0, 0.0])


def test_the_least_used_of_the_last_minute_is_chosen() -> None:
    first, second = weighted(1, 1)
    first.facts.note_usage(99.0, 1000, 500)
    second.facts.note_usage(20.0, 1000, 700)

    assert shares(Policy(strategy="least-used"), first, second) == [0.0, 1.0]


def test_two_choices_never_take_the_slowest_of_four_and_take_the_fastest_half_the_time() -> None:
    group = weighted(1, 1, 1, 1)
    for index, one in enumerate(group):
        one.facts.note_latency(99.0, 0.1 * (index + 1), stream=False)

    assert shares(Policy(strategy="lowest-latency"), *group) == [0.5, 0.333333, 0.166667, 0.0]


def test_two_choices_share_evenly_among_equals() -> None:
    assert shares(Policy(strategy="lowest-latency"), *weighted(1, 1, 1)) == [0.333333] * 3


def test_a_deployment_that_has_answered_nothing_does_not_get_everything() -> None:
    known, unknown = weighted(1, 1)
    known.facts.note_latency(99.0, 0.2, stream=False)
    idle = shares(Policy(strategy="lowest-latency"), known, unknown)
    unknown.facts.in_flight = 1

    assert (idle, shares(Policy(strategy="lowest-latency"), known, unknown)) == ([0.0, 1.0], [1.0, 0.0])


def test_the_cheapest_is_chosen_and_what_has_no_price_last() -> None:
    group = candidates(*PRICES, {})

    assert shares(Policy(strategy="lowest-cost"), *group) == [0.0, 1.0, 0.0]


def test_long_answers_make_a_deployment_dear() -> None:
    first, second = candidates(
        {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        {"input_cost_per_token": 2e-6, "output_cost_per_token": 2e-6},
    )
    first.facts.note_usage(99.0, 10, 2000)
    second.facts.note_usage(99.0, 10, 200)

    assert shares(Policy(strategy="lowest-cost"), first, second) == [0.0, 1.0]


def test_the_best_within_the_budget_is_chosen() -> None:
    dear, cheap, unknown = candidates(*PRICES, {"input_cost_per_token": 1e-7})
    dear.facts.quality, cheap.facts.quality = 0.9, 0.7
    policies = [Policy(strategy="best-quality", budget_usd=usd) for usd in (1.0, 0.001, 0.0)]

    assert [shares(policy, dear, cheap, unknown) for policy in policies] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_prefix_keeps_its_deployment() -> None:
    group = weighted(1, 1, 1, 1)
    turns = [{"role": "system", "content": "You know foxes."}, {"role": "user", "content": "Do they sleep?"}]
    later = [*turns, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Where?"}]
    policy = Policy(strategy="prefix-affinity")

    first, second = (share(group, Asked({"messages": each}, 100), policy, 0.0) for each in (turns, later))

    assert list(first) == list(second)
    assert sorted(first) == [0.0, 0.0, 0.0, 1.0]


def test_a_prefix_that_is_too_popular_spills_over_to_one_other() -> None:
    group, policy = weighted(1, 1, 1, 1), Policy(strategy="prefix-affinity", load_bound=1.25)
    used: Counter[str] = Counter()
    for _ in range(8):
        chosen = choose(group, ASKED, policy, (), 0.0, 0.5).candidate
        chosen.facts.begin()
        used[chosen.deployment.id] += 1

    assert max(used.values()) <= 3


def test_a_backend_whose_cache_is_full_gets_no_new_prefixes() -> None:
    group, policy = weighted(1, 1), Policy(strategy="prefix-affinity")
    owner = choose(group, ASKED, policy, (), 0.0, 0.5).candidate
    owner.facts.note_load(0.0, waiting=1, running=0, cache_use=0.99)

    assert choose(group, ASKED, policy, (), 0.0, 0.5).candidate is not owner


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_drawn_has_the_probability_that_is_said(strategy: Strategy) -> None:
    group = weighted(1, 2, 3, 4)
    for index, one in enumerate(group):
        one.facts.note_latency(99.0, 0.1 * (index + 1), stream=False)
    policy, drawn, said = Policy(strategy=strategy, explore=0.2), Counter[str](), dict[str, float]()

    for turn in range(4000):
        decision = choose(group, ASKED, policy, (), 100.0, draw_roll(b"12345678", turn))
        drawn[decision.deployment.id] += 1
        said[decision.deployment.id] = decision.probability

    assert sum(said.values()) == pytest.approx(1.0)
    assert all(abs(drawn[name] / 4000 - said[name]) < 0.03 for name in said)


def test_no_weight_at_all_is_an_even_one() -> None:
    assert shares(Policy(), *weighted(0, 0)) == [0.5, 0.5]
    assert choose(weighted(0, 0), NOTHING_ASKED, Policy(), (), 0.0, 0.7).deployment.id == "fox-1"
