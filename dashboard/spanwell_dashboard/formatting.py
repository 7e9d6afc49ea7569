"""Numbers as people read them. Every function takes a number, None or NaN, and returns digits and a unit only."""

import math
from typing import Final, NamedTuple

MISSING: Final = "–"
NOTABLE_PERCENT: Final = 5.0
NOTABLE_POINTS: Final = 0.5


class Change(NamedTuple):
    """How a number moved; `notable` when it is more than the jitter of an ordinary day."""

    text: str
    notable: bool


def is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def duration(ms: float | None) -> str:
    """Milliseconds as `0.42 ms`, `482 ms`, `1.78 s` or `2 min 05 s`."""
    if ms is None or math.isnan(ms):
        return MISSING
    if ms < 10:
        return f"{ms:.2f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1000:.2f} s"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds:02d} s"


def money(usd: float | None) -> str:
    """US dollars: cents from a dollar on, three significant digits below."""
    if usd is None or math.isnan(usd):
        return MISSING
    if usd == 0:
        return "$0"
    if abs(usd) >= 10_000:
        return f"${usd:,.0f}"
    if abs(usd) >= 1:
        return f"${usd:,.2f}"
    digits = min(2 - math.floor(math.log10(abs(usd))), 9)
    return f"${usd:.{digits}f}"


def count(value: float | None) -> str:
    """A number of things: `9,482`, `12.3 k`, `4.51 M`."""
    if value is None or math.isnan(value):
        return MISSING
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            scaled = value / (1e3 if size == 1e4 else size)
            return f"{scaled:.3g}{suffix}" if scaled < 999.5 else f"{scaled:.0f}{suffix}"
    return f"{value:,.0f}"


def rate(share: float | None) -> str:
    """A share of one as percent, with more digits the smaller it is."""
    if share is None or math.isnan(share):
        return MISSING
    percent = share * 100
    if percent in (0, 100):
        return f"{percent:.0f}%"
    return f"{percent:.2f}%" if abs(percent) < 10 else f"{percent:.1f}%"


def rates(low: float | None, high: float | None) -> str:
    """An interval of shares."""
    return f"{rate(low)} to {rate(high)}"


def speed(tokens_per_second: float | None) -> str:
    if tokens_per_second is None or math.isnan(tokens_per_second):
        return MISSING
    return f"{tokens_per_second:.1f}" if tokens_per_second < 100 else f"{tokens_per_second:,.0f}"


def change(now: float | None, before: float | None) -> Change | None:
    """Relative change as `+12.4%`; None where there is nothing to compare with, or nothing changed."""
    if now is None or before is None or math.isnan(now) or math.isnan(before) or before == 0:
        return None
    percent = (now - before) / abs(before) * 100
    if abs(percent) < 0.05:
        return None
    if percent >= 900:
        return Change(f"{percent / 100 + 1:,.0f}×", True)
    return Change(f"{percent:+.1f}%" if abs(percent) < 100 else f"{percent:+.0f}%", abs(percent) >= NOTABLE_PERCENT)


def points(now: float | None, before: float | None) -> Change | None:
    """Change of a share in percentage points: a rate that goes from 1% to 2% rose by one point, not by 100%."""
    if now is None or before is None or math.isnan(now) or math.isnan(before):
        return None
    moved = (now - before) * 100
    return None if abs(moved) < 0.005 else Change(f"{moved:+.2f} pp", abs(moved) >= NOTABLE_POINTS)


def probability(p: float | None) -> str:
    """A p-value as `0.43`, `0.0012` or `1.7e-6`."""
    if p is None or math.isnan(p):
        return MISSING
    if p == 0 or p >= 0.0001:
        return f"{p:.2g}"
    digits, _, power = f"{p:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def score(value: float | None) -> str:
    return MISSING if value is None or math.isnan(value) else f"{value:.2f}"
