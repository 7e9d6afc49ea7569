"""When the open segment is handed on: a policy of sizes and times, without a clock of its own.

An insert costs the same few dozen milliseconds for one span as for a hundred. So under a small load we insert no more
often than keeps that cost at a twentieth of a core, and under a large one as soon as a segment is worth its insert.
"""

from typing import Final, NamedTuple

SEGMENT_BYTES: Final = 32 << 20  # what is decoded at once; it bounds the writer's memory
SEGMENT_SPANS: Final = 16_384  # an insert costs 50 ms before its first span: 3 us for each of so many
INSERT_SHARE: Final = 0.05  # of one core
LONGEST_FLUSHES: Final = 3  # nothing waits longer than so many times the flush time


class Inserted(NamedTuple):
    """The last insert: when it ended, and what it took."""

    at: float
    seconds: float


def is_full(size_bytes: int, items: int) -> bool:
    """Whether a segment is worth its insert, however young it is."""
    return size_bytes >= SEGMENT_BYTES or items >= SEGMENT_SPANS


def choose_seal_time(opened_at: float, flush_seconds: float, last: Inserted) -> float:
    """When a segment begun at `opened_at` is due: after an idle time at once, that is after `flush_seconds`."""
    rested_at = last.at + last.seconds / INSERT_SHARE
    longest_at = opened_at + LONGEST_FLUSHES * flush_seconds
    return min(max(opened_at + flush_seconds, rested_at), longest_at)
