"""Sums hours and days that are over, again when their spans change, and history from the newest day to the oldest.

One thread calls it. Which periods are whole is in `rollups`; what has to be summed is found from the times that spans
came and corrections were made, so nothing else has to be kept on the disk.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, NamedTuple

from spanwell_collector.rollups.definitions import HOURLY, ROLLUPS, Rollup
from spanwell_collector.store.client import Store

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SETTLE_SECONDS: Final = 120  # after its end, until a period is first summed
REBUILD_SECONDS: Final = 300  # between two sums of one period, while late spans trickle in
OVERLAP_MS: Final = 10_000  # a row is stamped before it can be seen
KEEP_SECONDS: Final = 600  # a version that was replaced: questions that began with it may still run
MOST_PERIODS: Final = 5_000  # a statement: their names travel in it
DAY_SECONDS: Final = 86_400

# The hours of spans that came after a moment, and of corrections that were made after it. A year of twenty projects has
# more hours than the answer to a question may have rows.
CHANGED: Final = """
SELECT project, hour, max(changed_ms) AS changed_ms, max(has_come) AS has_come
FROM
(
    SELECT project, toUnixTimestamp(toStartOfHour(toDateTime(ts, 'UTC'))) AS hour,
        toUnixTimestamp64Milli(max(received)) AS changed_ms, true AS has_come
    FROM spanwell.spans
    WHERE received > fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    GROUP BY project, hour
    UNION ALL
    SELECT project, toUnixTimestamp(hours_changed.hour) AS hour,
        toUnixTimestamp64Milli(max(changed)) AS changed_ms, false AS has_come
    FROM spanwell.hours_changed
    WHERE changed > fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    GROUP BY project, hour
)
GROUP BY project, hour
SETTINGS max_result_rows = 0
"""
BUILT: Final = """
SELECT name, project, toUnixTimestamp(period) AS start, max(version) AS newest,
    toUnixTimestamp64Milli(argMax(built_at, version)) AS built_ms, argMax(rows, version) AS rows
FROM spanwell.rollups
GROUP BY name, project, start
SETTINGS max_result_rows = 0
"""
OLDEST: Final = "SELECT project, toUnixTimestamp(toStartOfHour(min(ts))) AS hour FROM spanwell.spans GROUP BY project"
# Since when the store has had spans of an hour.
HELD: Final = """
SELECT project, toUnixTimestamp(toStartOfHour(toDateTime(ts, 'UTC'))) AS hour,
    toUnixTimestamp64Milli(min(received)) AS first_ms
FROM spanwell.spans
WHERE project IN {projects:Array(String)}
  AND ts >= toDateTime({first:UInt32}, 'UTC') AND ts < toDateTime({last:UInt32}, 'UTC')
  AND concat(toString(hour), project) IN {hours:Array(String)}
GROUP BY project, hour
SETTINGS max_result_rows = 0
"""
SUM: Final = """
INSERT INTO spanwell.{table} (project, version, {columns})
SELECT project, {{version:UInt64}}, {aggregation} FROM spanwell.spans AS spans
WHERE project IN {{projects:Array(String)}}
  AND ts >= toDateTime({{first:UInt32}}, 'UTC') AND ts < toDateTime({{last:UInt32}}, 'UTC')
  AND concat(toString(toUnixTimestamp({period})), project) IN {{periods:Array(String)}}
  AND {condition}
GROUP BY project, {group}
SETTINGS max_threads = 2, max_bytes_before_external_group_by = 1000000000
"""
COUNT: Final = """
SELECT project, toUnixTimestamp({column}) AS start, count() AS rows
FROM spanwell.{table}
WHERE project IN {{projects:Array(String)}} AND version = {{version:UInt64}}
  AND {column} >= toDateTime({{first:UInt32}}, 'UTC') AND {column} < toDateTime({{last:UInt32}}, 'UTC')
GROUP BY project, start
"""
REPLACED: Final = """
SELECT DISTINCT concat(toString(version), toString(toUnixTimestamp({column})), project) AS sum_name
FROM spanwell.{table} AS summed
INNER JOIN
(
    SELECT project, period, max(version) AS newest
    FROM spanwell.rollups
    WHERE name = '{table}'
    GROUP BY project, period
    HAVING newest < {{before_ms:UInt64}}
) AS current ON summed.project = current.project AND summed.{column} = current.period
WHERE summed.version < current.newest
LIMIT {{limit:UInt32}}
"""
SWEEP: Final = """
DELETE FROM spanwell.{table}
WHERE concat(toString(version), toString(toUnixTimestamp({column})), project) IN {{names:Array(String)}}
"""

Period = tuple[str, int]  # project, and its start in seconds since 1970


class Built(NamedTuple):
    """The version that counts, the moment up to which it knows the spans, in milliseconds, and how many sums it has."""

    version: int
    up_to_ms: int
    rows: int


class Builder:
    """`look` finds what to do, `build_next` does the newest day of it, `sweep` removes what was replaced."""

    def __init__(self, store: Store, *, clock_ms: Callable[[], int] | None = None) -> None:
        self._store = store
        self._clock_ms = clock_ms or store.read_clock_ms
        self._since_ms = 0
        self._version = 0
        self._oldest: dict[str, int] = {}
        self._built: dict[str, dict[Period, Built]] = {}
        self._missing: dict[str, set[Period]] = {rollup.table: set() for rollup in ROLLUPS}
        self._changed: dict[str, dict[Period, int]] = {rollup.table: {} for rollup in ROLLUPS}

    def look(self) -> None:
        """Find what came or was corrected since the last look. Raises StoreError."""
        if not self._built:
            self._built = self._read_built()
        now_ms = self._clock_ms()
        rows = self._store.query(CHANGED, {"since_ms": self._since_ms}).to_pylist()
        for row in self._without_gone(rows, now_ms):
            self._oldest[row["project"]] = min(row["hour"], self._oldest.get(row["project"], row["hour"]))
            for rollup in ROLLUPS:
                period = (row["project"], row["hour"] // rollup.seconds * rollup.seconds)
                self._note(rollup, period, row["changed_ms"])
        self._since_ms = now_ms - OVERLAP_MS
        for rollup in ROLLUPS:
            self._missing[rollup.table] |= self._list_missing(rollup, now_ms // 1000)

    def build_next(self) -> bool:
        """Sum the newest day that is due; false when there is none. Raises StoreError."""
        now_ms = self._clock_ms()
        for rollup in ROLLUPS:
            if due := [*self._missing[rollup.table], *self._list_changed(rollup, now_ms)]:
                newest = max(start for _, start in due) // DAY_SECONDS
                self._build(rollup, sorted({one for one in due if one[1] // DAY_SECONDS == newest}), now_ms)
                return True
        return False

    def sweep(self) -> None:
        """Remove sums that were replaced some minutes ago. Raises StoreError."""
        asked = {"before_ms": self._clock_ms() - KEEP_SECONDS * 1000, "limit": MOST_PERIODS}
        for rollup in ROLLUPS:
            names = {"table": rollup.table, "column": rollup.column}
            replaced = self._store.query(REPLACED.format(**names), asked).column("sum_name").to_pylist()
            if replaced:
                self._store.command(SWEEP.format(**names), {"names": replaced})

    def _read_built(self) -> dict[str, dict[Period, Built]]:
        built: dict[str, dict[Period, Built]] = {rollup.table: {} for rollup in ROLLUPS}
        for row in chain.from_iterable(rows.to_pylist() for rows in self._store.query(BUILT).to_batches()):
            built[row["name"]][row["project"], row["start"]] = Built(row["newest"], row["built_ms"], row["rows"])
            self._version = max(self._version, row["newest"])
        return built

    def _without_gone(self, rows: list[dict[str, Any]], now_ms: int) -> list[dict[str, Any]]:
        """Without hours whose spans have passed their time: their sums are what is left of them."""
        if not all(row["has_come"] for row in rows):
            oldest = {row["project"]: row["hour"] for row in self._store.query(OLDEST).to_pylist()}
            rows = [row for row in rows if row["hour"] >= oldest.get(row["project"], row["hour"] + 1)]
        gone = self._list_gone([row for row in rows if row["has_come"]], now_ms)
        return [row for row in rows if (row["project"], row["hour"]) not in gone]

    def _list_gone(self, rows: list[dict[str, Any]], now_ms: int) -> set[Period]:
        """Hours of which there is nothing but what came long after they were summed."""
        recent = now_ms // 1000 - DAY_SECONDS  # nothing passes its time within a day
        hourly = self._built[HOURLY.table]
        late = {
            (row["project"], row["hour"]): built.up_to_ms
            for row in rows
            if row["hour"] < recent
            and (built := hourly.get((row["project"], row["hour"])))
            and built.rows
            and built.up_to_ms < row["changed_ms"]
        }
        if not late:
            return set()
        asked = {
            "projects": sorted({project for project, _ in late}),
            "hours": [f"{hour}{project}" for project, hour in late],
            "first": min(hour for _, hour in late),
            "last": max(hour for _, hour in late) + HOURLY.seconds,
        }
        held = {(row["project"], row["hour"]): row["first_ms"] for row in self._store.query(HELD, asked).to_pylist()}
        return {hour for hour, up_to_ms in late.items() if held.get(hour, up_to_ms) > up_to_ms}

    def _note(self, rollup: Rollup, period: Period, changed_ms: int) -> None:
        built, changed = self._built[rollup.table].get(period), self._changed[rollup.table]
        if built and built.up_to_ms < changed_ms:
            changed[period] = max(changed_ms, changed.get(period, 0))

    def _list_missing(self, rollup: Rollup, now: int) -> set[Period]:
        """Periods that are over and were never summed, those without a span included: only a run of them is read."""
        closed = (now - SETTLE_SECONDS) // rollup.seconds * rollup.seconds
        built = self._built[rollup.table]
        return {
            (project, start)
            for project, oldest in self._oldest.items()
            for start in range(oldest // rollup.seconds * rollup.seconds, closed, rollup.seconds)
            if (project, start) not in built
        }

    def _list_changed(self, rollup: Rollup, now_ms: int) -> list[Period]:
        latest = now_ms - OVERLAP_MS - REBUILD_SECONDS * 1000
        built = self._built[rollup.table]
        return [period for period in self._changed[rollup.table] if built[period].up_to_ms <= latest]

    def _build(self, rollup: Rollup, periods: list[Period], now_ms: int) -> None:
        for first in range(0, len(periods), MOST_PERIODS):
            some = periods[first : first + MOST_PERIODS]
            self._version = max(self._version + 1, now_ms)
            rows = self._sum(rollup, some, now_ms)
            for period in some:
                built = Built(self._version, now_ms - OVERLAP_MS, rows.get(period, 0))
                self._built[rollup.table][period] = built
                self._missing[rollup.table].discard(period)
                self._changed[rollup.table].pop(period, None)

    def _sum(self, rollup: Rollup, periods: Sequence[Period], now_ms: int) -> dict[Period, int]:
        """Write the sums of `periods`; how many rows each of them has, where it has any."""
        asked = {
            "version": self._version,
            "projects": sorted({project for project, _ in periods}),
            "periods": [f"{start}{project}" for project, start in periods],
            "first": min(start for _, start in periods),
            "last": max(start for _, start in periods) + rollup.seconds,
        }
        names = {"table": rollup.table, "column": rollup.column, "period": rollup.period, "group": rollup.group()}
        columns, aggregation = ", ".join(rollup.columns()), rollup.aggregation()
        self._store.command(
            SUM.format(**names, columns=columns, aggregation=aggregation, condition=rollup.condition), asked
        )
        counted = self._store.query(COUNT.format(**names), asked).to_pylist()
        rows = {(row["project"], row["start"]): row["rows"] for row in counted}
        up_to = EPOCH + timedelta(milliseconds=now_ms - OVERLAP_MS)
        self._store.insert(
            "rollups",
            [
                (
                    rollup.table,
                    project,
                    EPOCH + timedelta(seconds=start),
                    self._version,
                    up_to,
                    rows.get((project, start), 0),
                )
                for project, start in periods
            ],
            ("name", "project", "period", "version", "built_at", "rows"),
        )
        return rows
