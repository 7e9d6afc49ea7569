"""The worker's own drift test finds the planted topic, and nothing before it."""

from datetime import UTC, datetime, timedelta

import pytest

from spanwell import conventions as c
from spanwell.demo.history import generate_history
from spanwell.demo.planted import SHIFT_SINCE, SHIFTED_APP
from spanwell_collector.worker.drift import DriftResult, Prompt, detect
from spanwell_collector.worker.messages import last_user_text

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)

Asked = list[tuple[datetime, Prompt]]


@pytest.fixture(scope="module")
def asked() -> Asked:
    calls = [entry.spans[-1] for entry in generate_history(NOW) if entry.app == SHIFTED_APP]
    return [
        (
            datetime.fromtimestamp(call.start_ns / 1e9, tz=UTC),
            Prompt(str(call.attributes[c.SESSION_ID]), last_user_text(str(call.attributes[c.INPUT_MESSAGES]))),
        )
        for call in calls
    ]


def check(asked: Asked, end: datetime) -> DriftResult:
    reference = [prompt for at, prompt in asked if end - 7 * HOUR <= at < end - HOUR]
    current = [prompt for at, prompt in asked if end - HOUR <= at < end]
    return detect(reference, current, seed=0, permutations=999)


def test_the_shift_is_found_and_named(asked: Asked) -> None:
    result = check(asked, NOW)

    assert result.p_value < 0.01
    assert {"+powerbank", "+battery"} & set(result.terms)


@pytest.mark.parametrize("hours_before", [0, 1, 3, 6, 10, 15])
def test_no_window_before_the_shift_is_drifted(asked: Asked, hours_before: int) -> None:
    result = check(asked, NOW - SHIFT_SINCE - hours_before * HOUR)

    assert result.p_value > 0.05
