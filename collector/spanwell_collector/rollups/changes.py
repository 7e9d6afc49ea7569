"""Notes which hours were corrected, so that they are summed anew; and takes a user out of the sums."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from spanwell_collector.store.client import Store

FORGET: Final = (
    "DELETE FROM spanwell.usage_daily_users WHERE project = {project:String} AND user_id IN {users:Array(String)}"
)


def mark_changed(store: Store, project: str, hours: Iterable[datetime]) -> None:
    """Have the hours that hold these moments summed anew. Call it after the spans were corrected."""
    starts = sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in hours})
    if starts:
        store.insert("hours_changed", [(project, start) for start in starts], ("project", "hour"))


def forget_users(store: Store, project: str, users: Collection[str]) -> None:
    """Take users out of the daily sums, also of days whose spans are gone. Mark the hours of the spans besides."""
    store.command(FORGET, {"project": project, "users": list(users)})
