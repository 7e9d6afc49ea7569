"""One thread that charges the hours of processors to their calls, once they are over."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from spanwell_collector.prices.gpu import HOUR, RUNNING, list_hours, spread_hour
from spanwell_collector.prices.pools import Pool
from spanwell_collector.store.client import Store
from spanwell_collector.upkeep import repeat

SETTLED: Final = timedelta(minutes=5)  # what is later than this into the next hour is late
LOOK_BACK: Final = timedelta(hours=26)  # hours that a collector which was away has missed
LOOK_SECONDS: Final = 60.0
DONE: Final = """
SELECT DISTINCT toDateTime64(hour, 0, 'UTC') AS hour
FROM spanwell.gpu_hours
WHERE project = {project:String} AND deployment = {deployment:String} AND model = {model:String}
  AND hour >= {since:DateTime('UTC')}
"""
# Of a window, the hours that were charged before and those that were measured: of others nobody knows that there were
# any processors.
KNOWN: Final = """
SELECT DISTINCT toDateTime64(hour, 0, 'UTC') AS hour
FROM
(
    SELECT hour FROM spanwell.gpu_hours
    WHERE project = {project:String} AND deployment = {deployment:String} AND model = {model:String}
      AND hour >= {start:DateTime('UTC')} AND hour < {end:DateTime('UTC')}
    UNION ALL
    SELECT toStartOfHour(toDateTime(ts, 'UTC')) AS hour FROM spanwell.metrics
    WHERE project = {project:String} AND name = {running:String}
      AND ({model:String} = '' OR labels['model_name'] = {model:String})
      AND ({instance:String} = '' OR instance = {instance:String})
      AND ts >= {start:DateTime('UTC')} AND ts < {end:DateTime('UTC')}
)
ORDER BY hour
"""


def start_spreading(store: Store, pools: Sequence[Pool]) -> Callable[[], None]:
    """Begin, and return what ends it; with no pools there is nothing to begin."""
    if not pools:
        return lambda: None
    own, stopping = store.beside(), threading.Event()
    thread = threading.Thread(
        target=repeat, args=(lambda: _spread(own, pools), stopping), kwargs={"pause_s": LOOK_SECONDS}, name="gpu-hours"
    )
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()
        own.close()

    return stop


def spread_due(store: Store, pools: Sequence[Pool], now: datetime) -> int:
    """Charge every hour of late that is over and was not charged yet; how many there were."""
    due = [(pool, hour) for pool in pools for hour in _list_due(store, pool, now)]
    for pool, hour in due:
        spread_hour(store, pool, hour)
    return len(due)


def spread_window(store: Store, pools: Sequence[Pool], start: datetime, end: datetime) -> int:
    """Charge the whole hours of a window anew that were charged or measured; how many there were."""
    known = [(pool, hour) for pool in pools for hour in _list_known(store, pool, start, end)]
    for pool, hour in known:
        spread_hour(store, pool, hour)
    return len(known)


def _spread(store: Store, pools: Sequence[Pool]) -> Iterator[float]:
    while True:
        spread_due(store, pools, datetime.now(UTC))
        yield LOOK_SECONDS


def _list_known(store: Store, pool: Pool, start: datetime, end: datetime) -> list[datetime]:
    asked = {**pool._asdict(), "running": RUNNING, "start": start.astimezone(UTC), "end": end.astimezone(UTC)}
    hours: list[datetime] = store.query(KNOWN, asked).column("hour").to_pylist()
    return [hour for hour in hours if start <= hour and hour + HOUR <= end]


def _list_due(store: Store, pool: Pool, now: datetime) -> list[datetime]:
    since = now - LOOK_BACK
    asked = {"project": pool.project, "deployment": pool.deployment, "model": pool.model, "since": since}
    done = set(store.query(DONE, asked).column("hour").to_pylist())
    return [hour for hour in list_hours(since, now - SETTLED) if hour not in done]
