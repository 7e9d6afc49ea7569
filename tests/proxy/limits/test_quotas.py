from datetime import UTC, datetime

import pytest

from spanwell_proxy.caller import Budget, Limits
from spanwell_proxy.limits.quotas import Limit, Window, began_at, ends_at, make_quotas

NOW = datetime(2026, 11, 21, 8, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "began", "ends"),
    [
        ("hour", datetime(2026, 11, 21, 8, tzinfo=UTC), datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("day", datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)),
        ("month", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("total", datetime(1970, 1, 1, tzinfo=UTC), None),
        ("minute", datetime(2026, 11, 21, 8, 29, 15, tzinfo=UTC), None),
    ],
)
def test_windows_begin_with_the_calendar_and_minutes_slide(
    window: Window, began: datetime, ends: datetime | None
) -> None:
    assert began_at(window, NOW.timestamp()) == began.timestamp()
    assert ends_at(window, NOW.timestamp()) == (ends.timestamp() if ends else None)


def test_december_ends_with_the_year() -> None:
    december = datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp()

    assert ends_at("month", december) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_each_limit_is_a_quota_of_its_unit() -> None:
    limits = Limits((Budget("day", 100, 0.8, "small"),), rpm=5, concurrency=0)

    quotas = make_quotas("key", "k", limits, counted=False)

    assert [(quota.id, quota.limits) for quota in quotas] == [
        ("usd:key:k", (Limit("day", 100, 80, "small"),)),
        ("requests:key:k", (Limit("minute", 5),)),
        ("slots:key:k", (Limit("now", 0),)),
    ]


def test_what_is_only_counted_has_no_limits() -> None:
    assert [quota.limits for quota in make_quotas("key", "k", Limits(), counted=True)] == [()]
