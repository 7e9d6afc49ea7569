"""How sure a rate is."""

import math
from typing import Final, NamedTuple

Z_95: Final = 1.959963984540054


class Interval(NamedTuple):
    low: float
    high: float


def wilson(passed: float, total: int) -> Interval:
    """95% score interval of a proportion; honest near 0, near 1 and for small samples. No sample: everything."""
    if total <= 0:
        return Interval(0.0, 1.0)
    share = passed / total
    spread = Z_95**2 / total
    center = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(max(0.0, center - half), min(1.0, center + half))
