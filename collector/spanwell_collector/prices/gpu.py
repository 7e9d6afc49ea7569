"""Spreads what processors cost by the hour over the calls they served, when the hour is over.

Of an hour's cost the share in which they were busy is divided among its calls, by input and output tokens; the rest is
idle and nobody's. Busy is the mean of running requests over the capacity, as vLLM's own measurements say.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

from spanwell import conventions
from spanwell_collector.prices.pools import Pool
from spanwell_collector.queries.selection import microseconds
from spanwell_collector.rollups.changes import changing
from spanwell_collector.store.client import Store

RUNNING: Final = "vllm:num_requests_running"
HOUR: Final = timedelta(hours=1)
UNITS: Final = 10**12  # of a US dollar: what a column can tell apart
MOST_ROWS: Final = 1000  # a statement: their values travel in it
COLUMNS: Final = (
    "project",
    "hour",
    "deployment",
    "model",
    "usd",
    "busy_share",
    "samples",
    "busy_usd",
    "idle_usd",
    "calls",
    "tokens",
    "version",
)
SAMPLES: Final = """
SELECT ifNull(avgOrNull(greatest(0, least(value / {capacity:Float64}, 1))), 0) AS share, count() AS samples
FROM spanwell.metrics FINAL
WHERE project = {project:String} AND name = {running:String}
  AND ({model:String} = '' OR labels['model_name'] = {model:String})
  AND ({instance:String} = '' OR instance = {instance:String})
  AND ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
"""
# Calls for Spanwell's own purposes keep the processors busy too.
THEIRS: Final = """
project = {project:String} AND ({model:String} IN ('', model, request_model))
  AND ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND ({deployment:String} IN ('', deployment) OR startsWith(deployment, concat({deployment:String}, '/')))
  AND operation IN <calls> AND duplicate_of = '' AND cache != 'hit'
  AND input_tokens + output_tokens > 0
""".replace("<calls>", str(conventions.CALLS))
CALLS: Final = """
SELECT concat(trace_id, span_id) AS key, input_tokens + output_tokens AS tokens, cost_usd, price_version
FROM spanwell.spans
WHERE <theirs>
ORDER BY ts, key
"""
UPDATE: Final = """
UPDATE spanwell.spans
SET first_cost_usd = if(cost_source = 'repriced', first_cost_usd, cost_usd),
    cost_usd = toDecimal64(<usd>, 12),
    costs = map('gpu', toDecimal64(<usd>, 12)),
    price_version = {version:String},
    cost_source = if(cost_source = '', 'priced', 'repriced')
WHERE <theirs> AND concat(trace_id, span_id) IN {keys:Array(String)}
""".replace("<usd>", "transform(concat(trace_id, span_id), {keys:Array(String)}, {usd:Array(String)}, '0')")


class Call(NamedTuple):
    """A call that the processors served, and what it costs as yet."""

    key: str
    tokens: int
    cost_usd: Decimal | None
    price_version: str


class Hour(NamedTuple):
    """How an hour's cost was divided."""

    usd: Decimal
    busy_share: float
    samples: int
    busy_usd: Decimal
    idle_usd: Decimal
    calls: int
    tokens: int


def divide(usd: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """Parts of `usd` by weight that add up to it exactly; none where there is no weight."""
    total, units = sum(weights), int(usd * UNITS)
    ends = (units * end // total for end in accumulate(weights, initial=0)) if total else ()
    return [Decimal(end - start) / UNITS for start, end in pairwise(ends)]


def list_hours(start: datetime, end: datetime) -> Iterator[datetime]:
    """The whole hours, UTC, between two moments."""
    start = start.astimezone(UTC)
    hour = start.replace(minute=0, second=0, microsecond=0)
    hour += HOUR if hour < start else timedelta()
    while hour + HOUR <= end:
        yield hour
        hour += HOUR


def spread_hour(store: Store, pool: Pool, hour: datetime) -> Hour:
    """Charge the calls of an hour that is over. Doing it again changes nothing, unless calls have come since."""
    asked = _parameters(pool, hour)
    (measured,) = store.query(SAMPLES, asked).to_pylist()
    calls = [Call(**row) for row in store.query(CALLS.replace("<theirs>", THEIRS), asked).to_pylist()]
    busy_usd = (pool.usd * Decimal(measured["share"])).quantize(Decimal(1) / UNITS)
    parts = divide(busy_usd, [call.tokens for call in calls])
    charged = sum(parts, Decimal(0))
    tokens = sum(call.tokens for call in calls)
    share, samples = measured["share"], measured["samples"]
    divided = Hour(pool.usd, share, samples, charged, pool.usd - charged, len(calls), tokens)
    _charge(
        store, pool, hour, [(call, usd) for call, usd in zip(calls, parts, strict=True) if _differs(call, usd, pool)]
    )
    store.insert("gpu_hours", [(pool.project, hour, pool.deployment, pool.model, *divided, pool.version)], COLUMNS)
    return divided


def _charge(store: Store, pool: Pool, hour: datetime, charges: Sequence[tuple[Call, Decimal]]) -> None:
    with changing(store, pool.project, [hour] if charges else []):
        for first in range(0, len(charges), MOST_ROWS):
            some = charges[first : first + MOST_ROWS]
            values = {"keys": [call.key for call, _ in some], "usd": [format(usd, "f") for _, usd in some]}
            asked = {**_parameters(pool, hour), "version": pool.version, **values}
            store.command(UPDATE.replace("<theirs>", THEIRS), asked)


def _differs(call: Call, usd: Decimal, pool: Pool) -> bool:
    return (call.cost_usd, call.price_version) != (usd, pool.version)


def _parameters(pool: Pool, hour: datetime) -> dict[str, Any]:
    return {
        "project": pool.project,
        "model": pool.model,
        "deployment": pool.deployment,
        "instance": pool.instance,
        "capacity": float(pool.capacity),
        "running": RUNNING,
        "start_us": microseconds(hour),
        "end_us": microseconds(hour + HOUR),
    }
