"""Reads the section `batches`: when the proxy works at them, how much of it at once, and how long files are kept."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from spanwell.config import Config
from spanwell.errors import ConfigError

KEYS: Final = ("enabled", "concurrency", "yield_above", "off_peak_utc", "max_file_mb", "keep_days")
SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
HURRY: Final = 0.5  # of a batch's time is over: from then on no window is waited for
A_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True)
class BatchSettings:
    """`off_peak` are spans of minutes of the day, UTC; none of them means any time.

    A line starts only while fewer than `yield_above` other calls are under way: whoever waits for an answer goes first.
    """

    concurrency: int = 4
    yield_above: int = 32
    off_peak: tuple[tuple[int, int], ...] = ()
    max_file_bytes: int = 200 * 1024 * 1024
    keep_s: float = 30 * 86_400.0

    def may_run(self, now: datetime, created: datetime, expires: datetime) -> bool:
        """Whether a batch's time has come: off-peak, or half of its own time is over."""
        if not self.off_peak or now >= created + (expires - created) * HURRY:
            return True
        minute = now.hour * 60 + now.minute
        return any(_lies_in(minute, begin, end) for begin, end in self.off_peak)


def read_batch_settings(config: Config) -> BatchSettings | None:
    """None where batches are switched off. Raises ConfigError naming the key and what is allowed."""
    section, where = config.batches, f"{config.source}: batches"
    unknown = [key for key in section if key not in KEYS]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(KEYS)}")
    enabled = section.get("enabled", True)
    if not isinstance(enabled, bool):
        raise ConfigError(f"{where}.enabled: write true or false")
    if not enabled:
        return None
    return BatchSettings(
        concurrency=_whole(section, "concurrency", 4, where),
        yield_above=_whole(section, "yield_above", 32, where),
        off_peak=tuple(_read_span(span, where) for span in _list(section, where)),
        max_file_bytes=_whole(section, "max_file_mb", 200, where) * 1024 * 1024,
        keep_s=timedelta(days=_whole(section, "keep_days", 30, where)).total_seconds(),
    )


def _list(section: dict[str, Any], where: str) -> list[Any]:
    given = section.get("off_peak_utc", [])
    spans = [given] if isinstance(given, str) else given
    if not isinstance(spans, list):
        raise ConfigError(f'{where}.off_peak_utc: write a list such as ["22:00-06:00"]')
    return spans


def _read_span(span: Any, where: str) -> tuple[int, int]:
    found = SPAN.fullmatch(span) if isinstance(span, str) else None
    if not found:
        raise ConfigError(f'{where}.off_peak_utc: {span!r} is no span; write one such as "22:00-06:00"')
    hours = [int(part) for part in found.groups()]
    return hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]


def _whole(section: dict[str, Any], key: str, default: int, where: str) -> int:
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise ConfigError(f"{where}.{key}: write a whole number from 1 to 1000000")
    return value


def _lies_in(minute: int, begin: int, end: int) -> bool:
    # A span over midnight, and one that ends where it begins, which is the whole day.
    return (minute - begin) % A_DAY_MINUTES < ((end - begin) % A_DAY_MINUTES or A_DAY_MINUTES)
