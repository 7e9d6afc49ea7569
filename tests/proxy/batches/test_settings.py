"""When a batch may run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.batches.settings import BatchSettings, read_batch_settings

CREATED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EXPIRES = CREATED + timedelta(hours=24)


@pytest.mark.parametrize(
    ("spans", "after_hours", "expected"),
    [
        ([], 1, True),
        (["22:00-06:00"], 1, False),
        (["22:00-06:00"], 10, True),
        (["13:00-14:00"], 1.5, True),
        (["13:00-14:00"], 2, False),
        (["00:00-00:00"], 3, True),
        (["13:00-14:00"], 12, True),  # half of its time is over
    ],
)
def test_a_batch_waits_for_its_window_half_of_its_time(spans: list[str], after_hours: float, expected: bool) -> None:
    settings = read_batch_settings(Config(batches={"off_peak_utc": spans}))
    assert settings

    assert settings.may_run(CREATED + timedelta(hours=after_hours), CREATED, EXPIRES) is expected


def test_batches_are_on_unless_they_are_switched_off() -> None:
    assert read_batch_settings(Config()) == BatchSettings()
    assert read_batch_settings(Config(batches={"enabled": False})) is None


@pytest.mark.parametrize(
    "section",
    [{"speed": 1}, {"concurrency": 0}, {"keep_days": "x"}, {"off_peak_utc": ["25:00-06:00"]}, {"off_peak_utc": 7}],
)
def test_a_wrong_value_is_named(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"batches.{next(iter(section))}"):
        read_batch_settings(Config(batches=section))
