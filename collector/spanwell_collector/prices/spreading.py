"""One thread that charges the hours of processors to their calls, once they are over."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

from spanwell_collector.prices.gpu import list_hours, spread_hour
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
    """Charge every whole hour of a window, anew where it was charged before; how many there were."""
    hours = list(list_hours(start, end))
    for pool, hour in product(pools, hours):
        spread_hour(store, pool, hour)
    return len(hours) * len(pools)


def _spread(store: Store, pools: Sequence[Pool]) -> Iterator[float]:
    while True:
        spread_due(store, pools, datetime.now(UTC))
        yield LOOK_SECONDS


def _list_due(store: Store, pool: Pool, now: datetime) -> list[datetime]:
    since = now - LOOK_BACK
    asked = {"project": pool.project, "deployment": pool.deployment, "model": pool.model, "since": since}
    done = set(store.query(DONE, asked).column("hour").to_pylist())
    return [hour for hour in list_hours(since, now - SETTLED) if hour not in done]
