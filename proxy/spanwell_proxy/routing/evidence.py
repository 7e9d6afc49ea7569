"""Sequential tests that may be looked at after every call: their error holds for all looks together.

Each gives the logarithm of an e-value: evidence against "this arm is no worse than the control beyond the margin".
Under that hypothesis an e-value ever reaches 1/alpha with a probability of at most alpha (Ville 1939), so whoever stops
when it does is wrong that seldom, however often they look. All are functions of counts and sums, which add up over
workers.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

PRIOR: Final = 0.5  # Jeffreys' beta(1/2, 1/2)
ALLOCATION_PRIOR: Final = 100.0  # pseudo-counts: how near the split is expected to be
STEPS: Final = 60


class Tally(NamedTuple):
    """Observations of one metric in one arm: how many, their sum, and the sum of their squares."""

    size: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.size if self.size else 0.0

    @property
    def variance(self) -> float:
        """Of one observation; a little more than nought, so that equal observations are no certainty."""
        if self.size < 2:
            return math.inf
        return max((self.squares - self.total * self.mean) / (self.size - 1), 1e-9)

    def plus(self, value: float) -> "Tally":
        return Tally(self.size + 1, self.total + value, self.squares + value * value)


class Interval(NamedTuple):
    """A difference and bounds that hold at all times together."""

    difference: float
    low: float
    high: float


def rate_evidence(control: Tally, arm: Tally, margin: float) -> float:
    """That the arm's rate is above the control's by more than `margin`, of observations that are 0 or 1.

    For each arm the beta-mixture martingale of Robbins (Statistical methods related to the law of the iterated
    logarithm, 1970); their product, at the pair of rates within the hypothesis that it speaks against the least, is an
    e-process (Turner, Ly, Grünwald: Generic e-variables for exact sequential k-sample tests, 2024).
    """
    mixed = _mixture(control) + _mixture(arm)
    low, high = 0.0, 1.0 - margin
    if not control.size or not arm.size or high <= 0 or arm.mean <= control.mean + margin:
        return min(0.0, mixed - _likelihood(control, control.mean) - _likelihood(arm, arm.mean))
    for _ in range(STEPS):  # the likelihood along p, p + margin has one peak
        rate = (low + high) / 2
        if _slope(control, rate) + _slope(arm, rate + margin) > 0:
            low = rate
        else:
            high = rate
    rate = (low + high) / 2
    return mixed - _likelihood(control, rate) - _likelihood(arm, rate + margin)


def mean_evidence(control: Tally, arm: Tally, margin: float, scale: float) -> float:
    """That the arm's mean is above the control's by more than `margin`.

    The mixture sequential probability ratio test (Robbins and Siegmund 1970; Johari, Pekelis, Walsh: Always valid
    inference, 2022) with a half-normal mixture of `scale` over the excess, the variance estimated as in Waudby-Smith,
    Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic confidence sequences, 2024. It is
    asymptotic: let it begin after some tens of observations.
    """
    if control.size < 2 or arm.size < 2:
        return 0.0
    noise = control.variance / control.size + arm.variance / arm.size
    excess, mixed = arm.mean - control.mean - margin, noise + scale * scale
    root = scale * excess / math.sqrt(noise * mixed)
    if root < -30:
        return -math.inf
    return 0.5 * math.log(noise / mixed) + root * root / 2 + math.log(math.erfc(-root / math.sqrt(2)))


def allocation_evidence(counts: Sequence[int], weights: Sequence[float]) -> float:
    """That units were not split by `weights`: a sample ratio mismatch, and no result is to be trusted.

    Dirichlet-multinomial (Lindon and Malek: Anytime-valid inference for multinomial count data, 2022).
    """
    total = sum(weights)
    expected = [weight / total for weight in weights]
    prior = [ALLOCATION_PRIOR * share for share in expected]
    seen = sum(counts)
    mixed = math.lgamma(ALLOCATION_PRIOR) - math.lgamma(ALLOCATION_PRIOR + seen)
    mixed += sum(math.lgamma(one + count) - math.lgamma(one) for one, count in zip(prior, counts, strict=True))
    return mixed - sum(count * math.log(share) for count, share in zip(counts, expected, strict=True))


def find_interval(control: Tally, arm: Tally, alpha: float, scale: float) -> Interval | None:
    """The difference of the means, with bounds that hold at all times together with probability 1 - alpha."""
    if control.size < 2 or arm.size < 2:
        return None
    noise = control.variance / control.size + arm.variance / arm.size
    mixed = noise + scale * scale
    radius = math.sqrt(noise * mixed / (scale * scale) * math.log(mixed / (noise * alpha * alpha)))
    difference = arm.mean - control.mean
    return Interval(difference, difference - radius, difference + radius)


def _mixture(tally: Tally) -> float:
    ones, zeros = tally.total + PRIOR, tally.size - tally.total + PRIOR
    return math.lgamma(ones) + math.lgamma(zeros) - math.lgamma(ones + zeros) - math.log(math.pi)


def _likelihood(tally: Tally, rate: float) -> float:
    ones, zeros = tally.total, tally.size - tally.total
    if (ones and rate <= 0) or (zeros and rate >= 1):
        return -math.inf
    return (ones * math.log(rate) if ones else 0.0) + (zeros * math.log1p(-rate) if zeros else 0.0)


def _slope(tally: Tally, rate: float) -> float:
    """Of the likelihood."""
    ones, zeros = tally.total, tally.size - tally.total
    return (ones / rate if ones else 0.0) - (zeros / (1 - rate) if zeros else 0.0)
