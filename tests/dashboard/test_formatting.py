import math

import pytest

from spanwell_dashboard.formatting import change, count, duration, money, points, probability, rate


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0.42, "0.42 ms"),
        (482.4, "482 ms"),
        (999.6, "1.00 s"),
        (1782, "1.78 s"),
        (12_345, "12.3 s"),
        (125_000, "2 min 05 s"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "$0"), (0.000421, "$0.000421"), (0.5, "$0.500"), (20.144, "$20.14"), (12_345.6, "$12,346"), (math.nan, "–")],
)
def test_money(usd: float, text: str) -> None:
    assert money(usd) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (9482, "9,482"), (12_345, "12.3 k"), (4_510_000, "4.51 M")])
def test_counts(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0%"), (0.0062, "0.62%"), (0.184, "18.4%"), (1, "100%")])
def test_rates(share: float, text: str) -> None:
    assert rate(share) == text


@pytest.mark.parametrize(("p", "text"), [(0.434, "0.43"), (0.00017, "0.00017"), (1.7e-6, "1.7e-6"), (1e-12, "1e-12")])
def test_probabilities(p: float, text: str) -> None:
    assert probability(p) == text


@pytest.mark.parametrize(
    ("now", "before", "text", "notable"),
    [(112, 100, "+12.0%", True), (98, 100, "-2.0%", False), (2000, 100, "20×", True)],
)
def test_a_change_is_notable_beyond_an_ordinary_day(now: float, before: float, text: str, notable: bool) -> None:
    assert change(now, before) == (text, notable)


@pytest.mark.parametrize(("now", "before"), [(1, 0), (None, 1), (1, math.nan), (100, 100)])
def test_nothing_to_compare_with_is_no_change(now: float | None, before: float | None) -> None:
    assert change(now, before) is None


def test_a_rate_moves_in_points() -> None:
    assert points(0.02, 0.01) == ("+1.00 pp", True)
