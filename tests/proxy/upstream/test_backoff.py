from datetime import UTC, datetime

import pytest

from spanwell_proxy.upstream.backoff import backoff_s
from spanwell_proxy.upstream.client import read_retry_after


def test_waits_double_up_to_a_bound() -> None:
    waits = [backoff_s(retry, None, 1.0) for retry in range(7)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(("asked", "wait"), [(3.0, 3.0), (31.0, None)])
def test_what_the_backend_asks_for_is_honoured_within_reason(asked: float, wait: float | None) -> None:
    assert backoff_s(0, asked, 0.5) == wait


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("Sat, 21 Nov 2026 08:00:05 GMT", 5.0), ("soon", None), ("-1", 0.0)]
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert read_retry_after(value, datetime(2026, 11, 21, 8, tzinfo=UTC)) == seconds
