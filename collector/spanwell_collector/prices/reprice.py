"""Prices history anew: calls that the store priced, or could not, get what the price table says now.

The figure a call had first stays beside the new one. A call whose figure comes out the same is not touched.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanwell_collector.prices.terms import GPU
from spanwell_collector.queries.selection import WINDOW, microseconds
from spanwell_collector.rollups.changes import changing
from spanwell_collector.store.client import Store
from spanwell_collector.store.priced import PRICEABLE, PRICED

# What runs on processors paid by the hour has its share of the hour, and no price a token.
CALLS: Final = (
    WINDOW
    + f" AND {PRICEABLE}"
    + " AND cache != 'hit' AND (cost_source != 'reported' OR {reported:Bool})"
    + " AND ({model:String} = '' OR model = {model:String})"
    + f" AND NOT startsWith(price_version, '{GPU}')"
)


def _render(sql: str) -> str:
    return sql.replace("<calls>", CALLS).replace("<priced>", PRICED)


HOURS: Final = _render("""
SELECT DISTINCT toDateTime64(toStartOfHour(ts), 0, 'UTC') AS hour
FROM spanwell.spans
WHERE <calls>
ORDER BY hour
""")
SUMMARY: Final = _render("""
SELECT
    countIf(duplicate_of = '') AS calls,
    countIf(isNotNull(after) AND NOT (after <=> before)) AS changed,
    countIf(duplicate_of = '' AND isNull(after) AND isNull(before)) AS unpriced,
    sumIf(before, duplicate_of = '') AS before_usd,
    sumIf(coalesce(after, before), duplicate_of = '') AS after_usd
FROM (SELECT duplicate_of, cost_usd AS before, <priced>.1 AS after FROM spanwell.spans WHERE <calls>)
""")
UPDATE: Final = _render("""
UPDATE spanwell.spans
SET first_cost_usd = if(cost_source = 'repriced', first_cost_usd, cost_usd),
    cost_usd = <priced>.1,
    costs = <priced>.2,
    price_version = <priced>.3,
    cost_source = 'repriced'
WHERE <calls> AND isNotNull(<priced>.1) AND NOT (<priced>.1 <=> cost_usd)
""")


class Reprice(NamedTuple):
    """Which calls: of a project, begun in [start, end). `reported` also takes those that came with a cost."""

    project: str
    start: datetime
    end: datetime
    model: str = ""
    reported: bool = False
    dry_run: bool = False


class Outcome(NamedTuple):
    """What came of it. Money is that of the calls that count; calls without a price cost nothing in it."""

    calls: int = 0
    changed: int = 0
    unpriced: int = 0
    before_usd: Decimal = Decimal(0)
    after_usd: Decimal = Decimal(0)

    def plus(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.calls + other.calls,
            self.changed + other.changed,
            self.unpriced + other.unpriced,
            self.before_usd + other.before_usd,
            self.after_usd + other.after_usd,
        )


def reprice(store: Store, asked: Reprice) -> Outcome:
    """Price anew, a day at a time, which is a partition: what was done stays done when a later day fails."""
    total = Outcome()
    for start, end in _days(asked.start, asked.end):
        total = total.plus(_reprice_day(store, asked._replace(start=start, end=end)))
    return total


def _reprice_day(store: Store, asked: Reprice) -> Outcome:
    hours = [row["hour"] for row in store.query(HOURS, _parameters(asked)).to_pylist()]
    outcomes = {hour: _summarize(store, _within(asked, hour)) for hour in hours}
    changed = [hour for hour, outcome in outcomes.items() if outcome.changed]
    if changed and not asked.dry_run:
        with changing(store, asked.project, changed):
            store.command(UPDATE, _parameters(asked))
        # Rows are read with their corrections until then, which is slower by as much as there are of them.
        store.alter("spans", f"APPLY PATCHES IN PARTITION '{asked.start:%Y-%m-%d}'")
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    return total


def _summarize(store: Store, asked: Reprice) -> Outcome:
    """An hour at a time: a busy day would take longer than a question may."""
    (row,) = store.query(SUMMARY, _parameters(asked)).to_pylist()
    money = (row["before_usd"] or Decimal(0), row["after_usd"] or Decimal(0))
    return Outcome(row["calls"], row["changed"], row["unpriced"], *money)


def _within(asked: Reprice, hour: datetime) -> Reprice:
    start, end = max(asked.start, hour), min(asked.end, hour + timedelta(hours=1))
    return asked._replace(start=start, end=end)


def _days(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        yield start, min(midnight, end)
        start = midnight


def _parameters(asked: Reprice) -> dict[str, Any]:
    return {
        "project": asked.project,
        "start_us": microseconds(asked.start),
        "end_us": microseconds(asked.end),
        "model": asked.model,
        "reported": asked.reported,
    }
