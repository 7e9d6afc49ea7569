"""When hits are wrong too often, and how sure that is."""

import random

import pytest

from spanwell_proxy.caches.semantic.verdicts import Verdicts


def test_the_interval_is_wilsons() -> None:
    low, high = Verdicts(10, 1).interval()

    assert (low, high) == pytest.approx((0.01787621, 0.40415003), abs=1e-7)
    assert Verdicts().interval() == (0.0, 1.0)


@pytest.mark.parametrize(("wrong", "expected"), [(0, False), (5, False), (20, True)])
def test_many_wrong_ones_of_a_hundred_are_too_many(wrong: int, expected: bool) -> None:
    assert Verdicts(100, wrong).is_too_wrong(0.05, 0.05) is expected


def test_large_numbers_do_not_overflow() -> None:
    assert Verdicts(10**7, 10**6).is_too_wrong(0.05, 0.05)
    assert not Verdicts(10**7, 10**5).is_too_wrong(0.05, 0.05)


def test_a_cache_that_is_right_often_enough_is_hardly_ever_stopped() -> None:
    dice, stopped = random.Random(11), 0
    for _ in range(300):
        wrong = 0
        for checked in range(1, 301):  # one looks after each verdict
            wrong += dice.random() < 0.05
            if wrong > checked * 0.05 and Verdicts(checked, wrong).is_too_wrong(0.05, 0.05):
                stopped += 1
                break

    assert stopped / 300 <= 0.05
