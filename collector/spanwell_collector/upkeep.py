"""One thread that keeps calls stitched and sums built, over a handle of its own so that no insert waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from spanwell.errors import StoreError
from spanwell_collector.calls.stitcher import Stitcher
from spanwell_collector.rollups.builder import Builder
from spanwell_collector.store.client import Store

logger = logging.getLogger("spanwell.collector")

STITCH_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 60.0
SWEEP_SECONDS: Final = 600.0
LONGEST_PAUSE_SECONDS: Final = 60.0


def start_upkeep(store: Store) -> Callable[[], None]:
    """Begin, and return what ends it: at once, or when the statement under way is done."""
    own, stopping = store.beside(), threading.Event()
    thread = threading.Thread(target=repeat, args=(lambda: keep_up(own), stopping), name="upkeep")
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()
        own.close()

    return stop


def repeat(begin: Callable[[], Iterator[None]], stopping: threading.Event, *, pause_s: float = STITCH_SECONDS) -> None:
    """Take step after step of `begin()`, with pauses. After a StoreError begin anew, later each time it comes again."""
    steps, wait_s = begin(), pause_s
    while not stopping.wait(wait_s):
        try:
            next(steps)
            wait_s = pause_s
        except StoreError as error:
            wait_s = min(wait_s * 2, LONGEST_PAUSE_SECONDS)
            logger.warning("stitching and summing go on in %.0f seconds: %s", wait_s, error)
            steps = begin()


def keep_up(store: Store, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Stitch at every step. Look once a minute for what to sum, and sum a day of it a step: history goes slowly."""
    stitcher, builder = Stitcher(store), Builder(store)
    look_at = sweep_at = clock()
    while True:
        stitcher.run_pass()
        if clock() >= look_at:
            builder.look()
            look_at = clock() + LOOK_SECONDS
        builder.build_next()
        if clock() >= sweep_at:
            builder.sweep()
            sweep_at = clock() + SWEEP_SECONDS
        yield
