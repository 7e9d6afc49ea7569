"""Runs a job again and again: with jitter, and after a failure sooner at first, then ever more patiently."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom

from spanwell.errors import SpanwellError

logger = logging.getLogger(__name__)
random = SystemRandom()

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
JITTER = 0.1  # keeps jobs of the same period from running in step

Job = Callable[[], Awaitable[None]]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class TryLaterError(SpanwellError):
    """A server asked to be left alone for `after_seconds`."""

    def __init__(self, message: str, after_seconds: float) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


@dataclass(frozen=True)
class Task:
    """A job and how often it runs."""

    name: str
    every_seconds: float
    job: Job


async def run_forever(task: Task) -> None:
    """Run `task` until cancelled. A known failure is logged and retried; anything else ends the process."""
    failures = 0
    while True:
        try:
            await task.job()
        except (SpanwellError, OSError, sqlite3.Error) as error:
            failures += 1
            seconds = retry_seconds(error, failures)
            logger.warning("%s failed %d times, next try in %.0f s: %s", task.name, failures, seconds, error)
        else:
            failures, seconds = 0, task.every_seconds
        await asyncio.sleep(seconds * random.uniform(1 - JITTER, 1 + JITTER))


def retry_seconds(error: Exception, failures: int) -> float:
    """How long to wait after the n-th failure in a row: doubling, and at least what the server asked for."""
    patience = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_RETRY_SECONDS)
    asked = error.after_seconds if isinstance(error, TryLaterError) else 0.0
    return max(patience, min(asked, LONGEST_RETRY_SECONDS))


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 where it says nothing readable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())
