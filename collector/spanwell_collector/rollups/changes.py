"""Notes which hours were corrected, so that they are summed anew."""

from collections.abc import Iterable
from datetime import datetime

from spanwell_collector.store.client import Store


def mark_changed(store: Store, project: str, hours: Iterable[datetime]) -> None:
    """Have the hours that hold these moments summed anew. Call it after the spans were corrected."""
    starts = sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in hours})
    if starts:
        store.insert("hours_changed", [(project, start) for start in starts], ("project", "hour"))
