from datetime import UTC, datetime

import pandas as pd
import pytest

from spanwell_dashboard.client import Scope
from spanwell_dashboard.colors import PALETTE, assign
from spanwell_dashboard.frames import filled, localised, wide
from spanwell_dashboard.intervals import wilson

SCOPE = Scope("default", datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 12, 5, tzinfo=UTC))


def minute(number: int) -> pd.Timestamp:
    return pd.Timestamp(2026, 11, 20, 12, number, tz="UTC")


def test_buckets_without_traffic_are_zero_for_counts_and_missing_for_the_rest() -> None:
    frame = pd.DataFrame({"ts": [minute(1), minute(3)], "requests": [4, 2], "p95_ms": [10.0, 20.0]})
    frame.attrs["bucket_seconds"] = 60

    whole = filled(frame, SCOPE, ("requests",))

    assert whole["requests"].tolist() == [0, 4, 0, 2, 0]
    assert whole["p95_ms"].isna().tolist() == [True, False, True, False, True]


def test_groups_beyond_the_largest_are_other() -> None:
    frame = pd.DataFrame({"ts": [minute(0)] * 4, "model": ["a", "b", "c", "other"], "cost_usd": [5.0, 3.0, 2.0, 1.0]})

    table = wide(frame, SCOPE, "model", "cost_usd", groups=2)

    assert table.iloc[0].to_dict() == {"a": 5.0, "b": 3.0, "other": 3.0}


@pytest.mark.parametrize(
    ("zone", "hour"), [("Europe/Berlin", 13), (None, 12), ("../etc/passwd", 12), ("Mars/Base", 12)]
)
def test_times_are_the_viewers(zone: str | None, hour: int) -> None:
    local = localised(pd.DataFrame({"ts": [minute(0)]}), zone)

    assert local["ts"][0] == pd.Timestamp(2026, 11, 20, hour)


def test_a_colour_does_not_depend_on_what_else_is_shown_and_none_is_used_twice() -> None:
    names = [f"model-{n}" for n in range(len(PALETTE))]

    assigned = assign(names)

    assert len({assigned[name] for name in names}) == len(PALETTE)
    assert assign(reversed(names)) == assigned


def test_more_names_than_colours_still_have_one() -> None:
    assert set(assign(f"m{n}" for n in range(100)).values()) >= set(PALETTE)


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"), [(0, 0, 0.0, 1.0), (10, 10, 0.722, 1.0), (351, 400, 0.842, 0.906)]
)
def test_wilsons_interval(passed: int, total: int, low: float, high: float) -> None:
    assert wilson(passed, total) == pytest.approx((low, high), abs=0.0015)
