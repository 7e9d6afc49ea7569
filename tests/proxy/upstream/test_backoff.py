from datetime import UTC, datetime

import pytest

from spanwell_proxy.upstream.backoff import backoff_s
from spanwell_proxy.upstream.refusals import read_retry_after


def test_waits_double_up_to_a_bound() -> None:
    waits = [backoff_s(retry, None, 1.0) for retry in range(7)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_calls_that_failed_together_do_not_come_back_together() -> None:
    waits = [backoff_s(3, None, roll) for roll in (0.0, 0.25, 0.75)]

    assert waits == [0.0, 0.5, 1.5]


@pytest.mark.parametrize(("asked", "wait"), [(3.0, 3.125), (0.0, 0.125), (31.0, None)])
def test_what_the_backend_asks_for_is_the_least_within_reason(asked: float, wait: float | None) -> None:
    assert backoff_s(0, asked, 0.5) == wait


def test_the_file_may_name_a_shortest_pause() -> None:
    assert backoff_s(0, None, 0.0, least_s=2.0) == 2.0


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("Sat, 21 Nov 2026 08:00:05 GMT", 5.0), ("soon", None), ("-1", 0.0)]
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert read_retry_after(value, datetime(2026, 11, 21, 8, tzinfo=UTC)) == seconds
