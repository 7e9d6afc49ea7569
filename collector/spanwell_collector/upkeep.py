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
from spanwell_collector.store.merges import calm_merges

logger = logging.getLogger("spanwell.collector")

STITCH_SECONDS: Final = 2.0
BEHIND_SECONDS: Final = 0.5  # between two steps while there is more to stitch: inserts need the processor too
LOOK_SECONDS: Final = 60.0
SWEEP_SECONDS: Final = 600.0
LONGEST_PAUSE_SECONDS: Final = 60.0


def start_upkeep(store: Store) -> Callable[[], None]:
    """Begin, and return what ends it: at once, or when the step under way is done."""
    own, stopping = store.beside(), threading.Event()
    asked = {"pause_s": STITCH_SECONDS}
    thread = threading.Thread(target=repeat, args=(lambda: keep_up(own), stopping), kwargs=asked, name="upkeep")
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()
        own.close()

    return stop


def repeat(begin: Callable[[], Iterator[float]], stopping: threading.Event, *, pause_s: float) -> None:
    """Take step after step of `begin()`: the first after a pause, each other one after what the one before it asks for.

    After a StoreError begin anew, later each time it comes again.
    """
    steps, wait_s = begin(), pause_s
    while not stopping.wait(wait_s):
        try:
            wait_s = next(steps)
        except StoreError as error:
            wait_s = min(wait_s * 2, LONGEST_PAUSE_SECONDS)
            logger.warning("%s goes on in %.0f seconds: %s", threading.current_thread().name, wait_s, error)
            steps = begin()


def keep_up(store: Store, *, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Stitch at every step. Look once a minute for what to sum, and sum a day of it a step: history goes slowly.

    Each step says how many seconds the next one can wait.
    """
    stitcher, builder = Stitcher(store), Builder(store)
    look_at = sweep_at = clock()
    while True:
        stitcher.run_pass()
        if clock() >= look_at:
            calm_merges()
            builder.look()
            look_at = clock() + LOOK_SECONDS
        builder.build_next()
        if clock() >= sweep_at:
            builder.sweep()
            sweep_at = clock() + SWEEP_SECONDS
        yield BEHIND_SECONDS if stitcher.is_behind else STITCH_SECONDS
