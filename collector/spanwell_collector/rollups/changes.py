"""Notes which hours were corrected, so that they are summed anew."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from spanwell_collector.store.client import Store


def mark_changed(store: Store, project: str, hours: Iterable[datetime]) -> None:
    """Have the hours that hold these moments summed anew. Call it after the spans were corrected."""
    starts = sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in hours})
    if starts:
        store.insert("hours_changed", [(project, start) for start in starts], ("project", "hour"))


@contextmanager
def changing(store: Store, project: str, hours: Iterable[datetime]) -> Iterator[None]:
    """Correct spans of these hours within the block.

    The hours are noted before it too: a correction that is cut off is not found again, for the spans are right by then.
    """
    hours = list(hours)
    mark_changed(store, project, hours)
    yield
    mark_changed(store, project, hours)
