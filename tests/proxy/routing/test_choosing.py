import pytest

from spanwell_proxy.routing.choosing import NOTHING_ASKED, WEIGHTED, choose
from tests.proxy.routing.candidates import weighted


@pytest.mark.parametrize(("roll", "chosen"), [(0.0, "fox-0"), (0.74, "fox-0"), (0.76, "fox-1"), (0.999, "fox-1")])
def test_weights_share_the_traffic(roll: float, chosen: str) -> None:
    decision = choose(weighted(3, 1), NOTHING_ASKED, WEIGHTED, (), 0.0, roll)

    assert decision.deployment.id == chosen
    assert decision.probability == {"fox-0": 0.75, "fox-1": 0.25}[chosen]


def test_what_was_tried_comes_last() -> None:
    assert choose(weighted(1000, 1), NOTHING_ASKED, WEIGHTED, ("fox-0",), 0.0, 0.0).deployment.id == "fox-1"


def test_a_deployment_that_cools_is_passed_over() -> None:
    members = weighted(1000, 1)
    for _ in range(3):
        members[0].facts.breaker.fail(100.0, None)

    chosen = [choose(members, NOTHING_ASKED, WEIGHTED, (), now, 0.0).deployment.id for now in (104.9, 105.1)]

    assert chosen == ["fox-1", "fox-0"]


def test_the_last_one_standing_answers_even_when_it_cools() -> None:
    members = weighted(1, 1)
    members[0].facts.breaker.fail(100.0, 30.0)
    members[1].facts.breaker.fail(100.0, 20.0)

    assert choose(members, NOTHING_ASKED, WEIGHTED, (), 101.0, 0.0).deployment.id == "fox-1"


def test_what_is_drained_gets_no_calls_while_another_is_there() -> None:
    members = weighted(1000, 1)
    members[0].facts.is_drained = True

    assert choose(members, NOTHING_ASKED, WEIGHTED, (), 0.0, 0.0).deployment.id == "fox-1"
