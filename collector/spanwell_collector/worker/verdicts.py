"""Which samples were judged, and scores that the collector has not taken yet. A verdict was paid for: it is kept."""

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Any, NamedTuple

KEPT = timedelta(days=7)  # far beyond the hour that samples are drawn from


class VerdictKey(NamedTuple):
    """A sample is judged once by one version of a rubric and one model."""

    rubric: str
    model: str
    trace_id: str
    span_id: str


def is_judged(database: sqlite3.Connection, key: VerdictKey) -> bool:
    found = database.execute(
        "SELECT 1 FROM verdicts WHERE rubric = ? AND model = ? AND trace_id = ? AND span_id = ?", key
    ).fetchone()
    return found is not None


def count_since(database: sqlite3.Connection, judge: str, since: datetime) -> int:
    """Verdicts of `judge` later than `since`."""
    row = database.execute(
        "SELECT count(*) FROM verdicts WHERE judge = ? AND judged_at > ?", (judge, since.timestamp())
    ).fetchone()
    return int(row[0])


def save(database: sqlite3.Connection, key: VerdictKey, judge: str, judged_at: datetime, score: dict[str, Any]) -> None:
    """Keep a verdict until the collector has it."""
    database.execute(
        "INSERT OR REPLACE INTO verdicts (rubric, model, trace_id, span_id, judge, judged_at, score)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, judge, judged_at.timestamp(), json.dumps(score)),
    )


def unposted(database: sqlite3.Connection, judge: str, limit: int) -> list[tuple[VerdictKey, dict[str, Any]]]:
    """The oldest scores of `judge` that the collector has not confirmed."""
    rows = database.execute(
        "SELECT rubric, model, trace_id, span_id, score FROM verdicts WHERE posted = 0 AND judge = ?"
        " ORDER BY judged_at LIMIT ?",
        (judge, limit),
    )
    return [(VerdictKey(*row[:4]), json.loads(row[4])) for row in rows]


def mark_posted(database: sqlite3.Connection, key: VerdictKey, now: datetime) -> None:
    """The collector has this one; what is old is forgotten."""
    database.execute(
        "UPDATE verdicts SET posted = 1 WHERE rubric = ? AND model = ? AND trace_id = ? AND span_id = ?", key
    )
    database.execute("DELETE FROM verdicts WHERE posted = 1 AND judged_at < ?", ((now - KEPT).timestamp(),))
