import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from spanwell.errors import StoreError
from spanwell_collector.worker.schedule import Task, TryLaterError, retry_after_seconds, retry_seconds, run_forever

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def test_a_job_that_fails_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    monkeypatch.setattr("spanwell_collector.worker.schedule.FIRST_RETRY_SECONDS", 0.001)

    async def job() -> None:
        runs.append(len(runs))
        if len(runs) < 4:
            raise StoreError("away")

    with suppress(TimeoutError):
        await asyncio.wait_for(run_forever(Task("job", 0.001, job)), 0.5)

    assert len(runs) > 4


async def test_a_mistake_of_ours_ends_the_job() -> None:
    async def job() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_forever(Task("job", 0.001, job))


def test_patience_grows_to_a_bound() -> None:
    assert [retry_seconds(StoreError(), failures) for failures in (1, 2, 3, 100)] == [1, 2, 4, 300]


def test_a_server_that_asks_for_time_gets_it() -> None:
    assert retry_seconds(TryLaterError("busy", 42), 1) == 42
    assert retry_seconds(TryLaterError("busy", 10**9), 1) == 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds
