"""Answers from sums where they are whole, from spans for the rest of a window; what is asked of them is the caller's.

`select_usage(store, project, start, end)` gives a relation to put after FROM, and the parameters that it binds:

    usage = select_usage(store, project, start, end)
    sql = f"SELECT model, {USAGE_METRICS['cost_usd']} FROM {usage.relation} WHERE app = {{app:String}} GROUP BY model"
    store.query(sql, {**usage.parameters, "app": "shop"})

It has one row a group of an hour: `hour` (DateTime, UTC: in Arrow a number of seconds; the first and last may be parts
of an hour), HOURLY.keys, and HOURLY.sums. Project, window and the condition of a request are in it already.
`select_user_usage` is the same by `day` with DAILY_USERS. Sums lag behind late spans and corrections of hours gone by
for up to five minutes; they show either all of a change or none of it. Ask `covers` first.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from spanwell_collector.rollups.definitions import DAILY_USERS, HOURLY, Rollup
from spanwell_collector.store.client import Store

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000

# The registry's metrics, as aggregates over the relation of select_usage.
USAGE_METRICS: Final = {
    "requests": "sum(requests)",
    "errors": "sum(errors)",
    "error_rate": "if(sum(requests) = 0, 0, sum(errors) / sum(requests))",
    "cost_usd": "toFloat64(sum(cost_usd))",
    "saved_usd": "toFloat64(sum(saved_usd))",
    "unpriced": "sum(unpriced)",
    "p50_ms": "quantileTDigestMerge(0.5)(duration)",
    "p95_ms": "quantileTDigestMerge(0.95)(duration)",
    "p99_ms": "quantileTDigestMerge(0.99)(duration)",
    "ttft_p50_ms": "quantileTDigestMerge(0.5)(ttft)",
    "ttft_p95_ms": "quantileTDigestMerge(0.95)(ttft)",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cached_tokens": "sum(cached_tokens)",
    "cache_write_tokens": "sum(cache_write_tokens)",
    "reasoning_tokens": "sum(reasoning_tokens)",
    "tokens_per_second": "sum(generated_tokens) / nullIf(sum(generation_ms) / 1000, 0)",
    "cache_hits": "sum(cache_hits)",
    "cache_hit_rate": "if(sum(requests) = 0, 0, sum(cache_hits) / sum(requests))",
    "users": "uniqCombinedMerge(14)(users)",
    "sessions": "uniqCombinedMerge(14)(sessions)",
}

BUILT: Final = """
SELECT groupUniqArray(toUnixTimestamp(period)) AS periods, max(version) AS version
FROM spanwell.rollups
WHERE name = {name:String} AND project = {project:String}
  AND period >= toDateTime({first:UInt32}, 'UTC') AND period < toDateTime({last:UInt32}, 'UTC')
"""
# A version that came after the plan was made does not count for it, and one that was replaced stays for some minutes.
SUMMED: Final = """
SELECT {columns} FROM spanwell.{table}
WHERE project = {{usage_project:String}}
  AND {column} >= toDateTime({{usage_from:UInt32}}, 'UTC')
  AND {column} < toDateTime({{usage_until:UInt32}}, 'UTC')
  AND ({column}, version) IN
(
    SELECT period, max(version)
    FROM spanwell.rollups
    WHERE name = '{table}' AND project = {{usage_project:String}} AND version <= {{usage_version:UInt64}}
      AND period >= toDateTime({{usage_from:UInt32}}, 'UTC')
      AND period < toDateTime({{usage_until:UInt32}}, 'UTC')
    GROUP BY period
)
"""
RAW: Final = """
SELECT {aggregation} FROM spanwell.spans AS spans
WHERE project = {{usage_project:String}}
  AND ts >= fromUnixTimestamp64Micro({{usage_raw_{index}_from:Int64}}, 'UTC')
  AND ts < fromUnixTimestamp64Micro({{usage_raw_{index}_until:Int64}}, 'UTC')
  AND {condition}
GROUP BY {group}
"""


class Usage(NamedTuple):
    """A relation in parentheses, and the parameters that it binds; all their names begin with `usage_`."""

    relation: str
    parameters: dict[str, Any]


class Plan(NamedTuple):
    """Which part of a window is read from sums (seconds since 1970, empty where equal), and up to which version."""

    first: int
    last: int
    version: int


def select_usage(store: Store, project: str, start: datetime, end: datetime) -> Usage:
    """Calls of `project` that began in [start, end), by hour."""
    return _select(store, HOURLY, project, start, end)


def select_user_usage(store: Store, project: str, start: datetime, end: datetime) -> Usage:
    """The same by day, for calls that were made for a user."""
    return _select(store, DAILY_USERS, project, start, end)


def covers(dimensions: Collection[str], metrics: Collection[str] = (), *, bucket_seconds: int = 3600) -> bool:
    """Whether select_usage can answer for groups and filters by `dimensions`, in buckets of whole hours."""
    known = set(dimensions) <= set(HOURLY.keys) and set(metrics) <= set(USAGE_METRICS)
    return known and bucket_seconds % HOURLY.seconds == 0


def find_stretch(periods: Iterable[int], seconds: int) -> tuple[int, int]:
    """The longest run of `periods` without a gap, as [first, last); (0, 0) when there is none."""
    best, run = (0, 0), (0, 0)
    for period in sorted(periods):
        run = (run[0], period + seconds) if period == run[1] else (period, period + seconds)
        best = max(best, run, key=lambda stretch: stretch[1] - stretch[0])
    return best


def render_usage(rollup: Rollup, project: str, start_us: int, end_us: int, plan: Plan) -> Usage:
    """The relation for [start_us, end_us) where `plan` says what is summed."""
    raw = [(start_us, end_us)]
    parts: list[str] = []
    parameters: dict[str, Any] = {"usage_project": project}
    if plan.first < plan.last:
        raw = [(start_us, plan.first * SECOND_US), (plan.last * SECOND_US, end_us)]
        columns = ", ".join(rollup.columns())
        parts.append(SUMMED.format(columns=columns, table=rollup.table, column=rollup.column).strip())
        parameters |= {"usage_from": plan.first, "usage_until": plan.last, "usage_version": plan.version}
    for index, (first, last) in enumerate(one for one in raw if one[0] < one[1] or len(raw) == 1):
        parts.append(_render_raw(rollup, index))
        parameters |= {f"usage_raw_{index}_from": first, f"usage_raw_{index}_until": last}
    return Usage("(\n" + "\nUNION ALL\n".join(parts) + "\n)", parameters)


def _render_raw(rollup: Rollup, index: int) -> str:
    return RAW.format(
        aggregation=rollup.aggregation(), index=index, condition=rollup.condition, group=rollup.group()
    ).strip()


def _select(store: Store, rollup: Rollup, project: str, start: datetime, end: datetime) -> Usage:
    start_us, end_us = ((moment - EPOCH) // timedelta(microseconds=1) for moment in (start, end))
    plan = _make_plan(store, rollup, project, start_us, end_us)
    return render_usage(rollup, project, start_us, end_us, plan)


def _make_plan(store: Store, rollup: Rollup, project: str, start_us: int, end_us: int) -> Plan:
    period_us = rollup.seconds * SECOND_US
    first, last = -(-start_us // period_us) * rollup.seconds, end_us // period_us * rollup.seconds
    if first >= last:
        return Plan(0, 0, 0)
    asked = {"name": rollup.table, "project": project, "first": first, "last": last}
    built = store.query(BUILT, asked).to_pylist()[0]
    return Plan(*find_stretch(built["periods"], rollup.seconds), built["version"])
