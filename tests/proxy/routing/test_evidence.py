"""The sequential tests, and how often they are wrong when they are looked at again and again."""

import math

import numpy as np
import pytest

from spanwell_proxy.routing.evidence import (
    Tally,
    allocation_evidence,
    find_interval,
    mean_evidence,
    rate_evidence,
)

ALPHA = 0.05
RUNS = 2000
LOOKS = [20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 2000]
# By chance alone the share of RUNS may be this much above alpha, three standard errors.
NOISE = 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def tallies(values: np.ndarray) -> list[Tally]:
    """One arm at every look."""
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    return [Tally(look, float(sums[look - 1]), float(squares[look - 1])) for look in LOOKS]


def test_an_error_rate_that_is_the_same_is_seldom_found_worse() -> None:
    random = np.random.default_rng(4)
    runs = ((tallies(one), tallies(two)) for one, two in random.random((RUNS, 2, LOOKS[-1])) < 0.05)

    wrong = sum(
        any(rate_evidence(a, b, 0.0) >= math.log(1 / ALPHA) for a, b in zip(one, two, strict=True)) for one, two in runs
    )

    assert wrong / RUNS <= ALPHA + NOISE


def test_a_latency_that_is_the_same_is_seldom_found_worse() -> None:
    random = np.random.default_rng(5)
    runs = ((tallies(one), tallies(two)) for one, two in random.normal(0, 0.8, (RUNS, 2, LOOKS[-1])))

    wrong = sum(
        any(mean_evidence(a, b, 0.0, 0.3) >= math.log(1 / ALPHA) for a, b in zip(one[2:], two[2:], strict=True))
        for one, two in runs
    )

    assert wrong / RUNS <= ALPHA + NOISE


def test_a_fair_split_is_seldom_called_a_mismatch() -> None:
    random = np.random.default_rng(6)
    first = np.cumsum(random.random((RUNS, LOOKS[-1])) < 0.9, axis=1)[:, [look - 1 for look in LOOKS]]

    wrong = sum(
        any(
            allocation_evidence((int(one), look - int(one)), (9, 1)) >= math.log(1 / ALPHA)
            for one, look in zip(run, LOOKS, strict=True)
        )
        for run in first
    )

    assert wrong / RUNS <= ALPHA + NOISE


def test_an_arm_that_always_fails_is_found_after_a_dozen_calls() -> None:
    control, arm = Tally(90, 1, 1), Tally(10, 10, 10)

    assert rate_evidence(control, arm, 0.02) > math.log(1 / ALPHA)


def test_being_worse_within_the_margin_is_no_evidence() -> None:
    control, arm = Tally(10_000, 100, 100), Tally(10_000, 250, 250)

    assert rate_evidence(control, arm, 0.02) < 0
    assert rate_evidence(control, arm, 0.0) > math.log(1 / ALPHA)


@pytest.mark.parametrize("arm", [Tally(), Tally(1, 1, 1), Tally(5, 0, 0)])
def test_little_or_nothing_seen_is_little_evidence(arm: Tally) -> None:
    assert rate_evidence(Tally(), arm, 0.0) <= math.log(1 / ALPHA)
    assert mean_evidence(Tally(), arm, 0.0, 0.3) == 0.0


def test_a_slower_arm_is_found() -> None:
    control, arm = Tally(500, 0.0, 320.0), Tally(500, 250.0, 445.0)

    assert mean_evidence(control, arm, math.log1p(0.1), 0.3) > math.log(1 / ALPHA)
    assert mean_evidence(arm, control, math.log1p(0.1), 0.3) < 0


def test_a_split_that_is_off_is_found() -> None:
    assert allocation_evidence((800, 200), (9, 1)) > math.log(1000)


def test_the_interval_holds_the_difference() -> None:
    found = find_interval(Tally(500, 0.0, 320.0), Tally(500, 250.0, 445.0), ALPHA, 0.3)

    assert found is not None
    assert found.difference == 0.5
    assert 0.2 < found.low < 0.5 < found.high < 0.8


def test_tallies_of_workers_add_up() -> None:
    assert Tally().plus(2.0).plus(4.0) == Tally(2, 6.0, 20.0)
