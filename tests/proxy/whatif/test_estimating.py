"""Off-policy estimates against a truth that is known because it was made."""

import numpy as np
import pytest

from spanwell_proxy.whatif.estimating import (
    Log,
    count_effective,
    estimate_logged,
    estimate_robustly,
    estimate_weighted,
    find_weights,
)

DEAR, CHEAP = 4.0, 1.0


def share_calls(seed: int, count: int = 600, per_user: int = 1) -> tuple[Log, float]:
    """Long prompts went to the dear deployment more often; the other policy sends all to the cheap one.

    And what a call would cost on average under that policy.
    """
    random = np.random.default_rng(seed)
    length = random.uniform(0, 1, count)
    to_cheap = 0.9 - 0.7 * length
    taken = (random.random(count) < to_cheap).astype(np.int64)
    mood = np.repeat(random.normal(0, 1, count // per_user), per_user)
    cost = np.where(taken == 1, CHEAP, DEAR) * (1 + length) + 0.5 * mood + random.normal(0, 0.3, count)
    log = Log(
        taken=taken,
        probability=np.where(taken == 1, to_cheap, 1 - to_cheap),
        wanted=np.tile([0.0, 1.0], (count, 1)),
        outcome=cost,
        features=length[:, None],
        units=[str(number // per_user) for number in range(count)],
    )
    return log, CHEAP * 1.5


@pytest.mark.parametrize("estimate", [estimate_weighted, estimate_robustly])
@pytest.mark.parametrize("per_user", [1, 6])
def test_the_interval_holds_the_truth_as_often_as_it_says(estimate: object, per_user: int) -> None:
    held = 0
    for seed in range(200):
        log, truth = share_calls(seed, per_user=per_user)
        found = estimate(log)  # type: ignore[operator]
        held += found.low <= truth <= found.high

    assert held >= 180  # of 190 expected


def test_what_was_says_little_of_what_would_be() -> None:
    log, truth = share_calls(1)

    assert estimate_logged(log).low > truth + 0.5


def test_the_model_narrows_the_interval() -> None:
    wide, narrow = (estimate(share_calls(1)[0]) for estimate in (estimate_weighted, estimate_robustly))

    assert wide is not None
    assert narrow is not None
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_same_policy_gives_what_was() -> None:
    log, _ = share_calls(2)
    both = np.column_stack([np.where(log.taken == 1, 1 - log.probability, log.probability)] * 2)
    both[np.arange(len(log.taken)), log.taken] = log.probability
    same = log._replace(wanted=both)

    assert estimate_weighted(same) == pytest.approx(estimate_logged(log))
    assert count_effective(find_weights(same)) == pytest.approx(len(log.taken))


def test_policies_with_nothing_in_common_have_no_estimate() -> None:
    log, _ = share_calls(3)
    apart = log._replace(taken=np.zeros_like(log.taken), wanted=np.tile([0.0, 1.0], (len(log.taken), 1)))

    assert (estimate_weighted(apart), estimate_robustly(apart)) == (None, None)
    assert count_effective(find_weights(apart)) == 0.0
