"""How often a hit was wrong, as far as second opinions tell; and when that is too often. Pure."""

from math import exp, log, log1p, sqrt
from typing import Final, NamedTuple

Z_95: Final = 1.959963984540054
GRID: Final = 64


class Verdicts(NamedTuple):
    """Of `checked` hits that were verified, `different` should have had another answer."""

    checked: int = 0
    different: int = 0

    @property
    def rate(self) -> float | None:
        return self.different / self.checked if self.checked else None

    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the false-hit rate, 95 % (Wilson 1927), for people to read at any one time."""
        if not self.checked:
            return 0.0, 1.0
        n, p = self.checked, self.different / self.checked
        middle = (p + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = Z_95 / (1 + Z_95**2 / n) * sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def evidence(self, limit: float) -> float:
        """An e-value against "the false-hit rate is at most `limit`", valid however often one looks.

        A mixture of likelihood ratios over rates above the limit: under every rate up to it a supermartingale, so by
        Ville's inequality it reaches 1/alpha at any time with a chance of at most alpha (Robbins 1970; Ramdas et al.,
        "Game-theoretic statistics and safe anytime-valid inference", 2023).
        """
        right, wrong = self.checked - self.different, self.different
        rates = (limit + (1 - limit) * (step + 0.5) / GRID for step in range(GRID))
        logs = [wrong * log(rate / limit) + right * (log1p(-rate) - log1p(-limit)) for rate in rates]
        highest = max(logs)
        return exp(min(700.0, highest)) * sum(exp(one - highest) for one in logs) / GRID

    def is_too_wrong(self, limit: float, alpha: float) -> bool:
        return self.evidence(limit) >= 1 / alpha
