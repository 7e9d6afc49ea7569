"""Forgets a user: finds what is stored about one, deletes it, and waits until the bytes are gone.

What is forgotten: the user's spans, and of their traces those that name no user; their texts and scores; scores the
user gave; the user's own sums; measurements, alerts and dead letters that name the user. Sums without users are made
anew without these calls. What cannot be told to be the user's is named in the answer, never passed over in silence.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from spanwell.errors import QueryError
from spanwell_collector.lifecycle.purge import purge
from spanwell_collector.rollups.changes import mark_changed
from spanwell_collector.store.client import Store
from spanwell_collector.store.statements import quote_text

SPOOL_SECONDS: Final = 10.0
ROUNDS: Final = 3  # what comes in while rows are deleted, and what was being summed, is found by the next
STILL_COMING: Final = "calls of the user kept coming in: forget again when the applications have stopped sending them"
NOT_SEARCHED: Final = (
    "not searched: backups made before, the gateway's cache of answers, webhooks that were sent, and texts and comments"
    " that have outlived their spans"
)
UNLOGGED: Final = {"log_queries": 0}  # a server would keep the statement, and the user's id with it
# A mutation's text stays on the disk, so it must not hold the id: it refers to this table, which goes with its files.
CREATE_KEYS: Final = """
CREATE TABLE spanwell.forgetting
(
    project  String,
    trace_id String,
    span_id  String,
    hour     DateTime64(0, 'UTC'),
    user_id  String,
    needle   String
)
ENGINE = MergeTree
ORDER BY (trace_id, span_id)
"""
FIND_SPANS: Final = """
INSERT INTO spanwell.forgetting
SELECT project, trace_id, span_id, toStartOfHour(ts), {user:String}, ''
FROM spanwell.spans
WHERE user_id IN ('', {user:String})
  AND (project, trace_id) IN (SELECT project, trace_id FROM spanwell.spans WHERE user_id = {user:String})
  AND {project:String} IN ('', project)
"""
# What tells of one of these calls once more, from a trace of its own.
FIND_DUPLICATES: Final = """
INSERT INTO spanwell.forgetting
SELECT project, trace_id, span_id, toStartOfHour(ts), {user:String}, ''
FROM spanwell.spans
WHERE position(duplicate_of, ':') > 0
  AND (project, duplicate_of) IN (SELECT project, concat(trace_id, ':', span_id) FROM spanwell.forgetting)
  AND {project:String} IN ('', project)
"""
# Ids are the sender's to choose: another project may have a trace of the same one.
IS_THEIRS: Final = (
    "(project, trace_id, span_id) IN (SELECT project, trace_id, span_id FROM spanwell.forgetting WHERE span_id != '')"
)
IN_TRACE: Final = "(project, trace_id) IN (SELECT project, trace_id FROM spanwell.forgetting WHERE span_id != '')"
# What stands in one of these traces and belongs to no span any more.
STRAY: Final = (
    f"{IN_TRACE} AND (project, trace_id, span_id) NOT IN"  # noqa: S608 - our own words
    f" (SELECT project, trace_id, span_id FROM spanwell.spans WHERE {IN_TRACE})"
)
USERS: Final = "SELECT user_id FROM spanwell.forgetting"
NEEDLES: Final = "SELECT groupUniqArray(needle) FROM spanwell.forgetting WHERE needle != ''"
NAMES_USER: Final = f"arrayExists(value -> value IN ({USERS}), mapValues(labels))"
CONDITIONS: Final = {  # spans last: they tell what the other rows belong to, should this stop half-way
    "texts": f"{IS_THEIRS} OR ({STRAY})",
    "scores": f"{IS_THEIRS} OR ({STRAY}) OR (source = 'user' AND author IN ({USERS}))",
    "usage_daily_users": f"user_id IN ({USERS})",
    "metrics": NAMES_USER,
    "alert_events": NAMES_USER,
    "dead_letters": f"arrayExists(needle -> position(payload, needle) > 0, ({NEEDLES}))",
    "spans": IS_THEIRS,
}
HOURS: Final = "SELECT DISTINCT project, hour FROM spanwell.forgetting WHERE span_id != ''"
DRIFT: Final = "SELECT count() AS checks FROM spanwell.drift_checks WHERE notEmpty(examples)"


class Forgotten(NamedTuple):
    """Rows deleted (or found, in a dry run) by table, how many hours are summed anew, and what is left to a human."""

    rows: dict[str, int]
    hours: int
    left: list[str]


def forget_user(
    store: Store, user_id: str, *, project: str = "", spools: Sequence[Path] = (), dry_run: bool = False
) -> Forgotten:
    """Delete what is stored about a user, in one project or in all. One call at a time; it may take minutes.

    Spans that were accepted and are not stored yet are waited for; `spools` are the directories that may hold some.
    Raises QueryError when no user is named: calls without one would be taken for theirs.
    """
    if not user_id:
        raise QueryError("user_id is empty: name a user")
    if dry_run:
        with _find(store, user_id, project):
            return Forgotten(_count_all(store, project), len(_list_hours(store)), _cautions(store))
    _await_stored(spools)
    rows, hours, left = Counter[str](dict.fromkeys(CONDITIONS, 0)), set[tuple[str, datetime]](), [STILL_COMING]
    for _ in range(ROUNDS):
        with _find(store, user_id, project):
            found = _count_all(store, project)
            if not any(found.values()):
                left = []
                break
            rows.update(found)
            hours |= _delete(store, project, [table for table, number in found.items() if number])
    left += [f"files of replaced part {part}" for part in purge(store, list(CONDITIONS))]
    left += [f"{path} holds the id" for path in _search(spools, user_id)]
    return Forgotten(dict(rows), len(hours), left + _cautions(store))


def sweep_keys(store: Store) -> None:
    """Clear away what a process that was killed while forgetting has left."""
    store.operate(
        "KILL MUTATION WHERE database = 'spanwell' AND NOT is_done AND command LIKE '%spanwell.forgetting%' SYNC"
    )
    store.operate("DROP TABLE IF EXISTS spanwell.forgetting SYNC")


@contextmanager
def _find(store: Store, user_id: str, project: str) -> Iterator[None]:
    """Keep the keys of all that is to be forgotten in a table while the block runs."""
    sweep_keys(store)
    store.operate(CREATE_KEYS)
    try:
        columns = ("user_id", "needle")
        store.insert("forgetting", [(user_id, _needle(user_id))], columns)
        for statement in (FIND_SPANS, FIND_DUPLICATES):
            store.operate(statement, {"user": user_id, "project": project}, **UNLOGGED)
        yield
    finally:
        store.operate("DROP TABLE spanwell.forgetting SYNC")


def _needle(user_id: str) -> bytes:
    """How an OTLP message spells the id as a whole value: within a longer word it is somebody else's."""
    word = user_id.encode()
    length, digits = len(word), bytearray()
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return b"\x0a" + bytes((*digits, length)) + word


def _narrow(table: str, project: str) -> str:
    condition = f"({CONDITIONS[table]})"
    return f"{condition} AND project = {quote_text(project)}" if project else condition


def _delete(store: Store, project: str, tables: Sequence[str]) -> set[tuple[str, datetime]]:
    """Delete what was found in `tables`; the project and hour of the spans."""
    hours = _list_hours(store)
    for table in tables:
        store.alter(table, f"DELETE WHERE {_narrow(table, project)}", wait=True)
    for name in {name for name, _ in hours}:
        mark_changed(store, name, [start for of, start in hours if of == name])
    return hours


def _list_hours(store: Store) -> set[tuple[str, datetime]]:
    return {(row["project"], row["hour"]) for row in store.query(HOURS).to_pylist()}


def _count_all(store: Store, project: str) -> dict[str, int]:
    return {table: _count(store, table, project) for table in CONDITIONS}


def _count(store: Store, table: str, project: str) -> int:
    rows = store.query(f"SELECT count() AS rows FROM spanwell.{table} WHERE {_narrow(table, project)}")  # noqa: S608
    return int(rows.column("rows").to_pylist()[0])


def _cautions(store: Store) -> list[str]:
    checks = int(store.query(DRIFT).column("checks").to_pylist()[0])
    quoted = f"{checks} drift checks quote prompts, which are not known to be anyone's" if checks else ""
    return [caution for caution in (quoted, NOT_SEARCHED) if caution]


def list_spools(data: Path) -> list[Path]:
    """Where, on this machine, spans wait to be stored: the collector's and the gateway's directories."""
    return [path for path in (data / "collector" / "spool", data / "collector" / "dead") if path.is_dir()] + sorted(
        data.glob("proxy/spool-*")
    )


def _await_stored(spools: Sequence[Path]) -> None:
    waiting = set(_files(spools))
    deadline = time.monotonic() + SPOOL_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        waiting &= set(_files(spools))


def _search(spools: Sequence[Path], user_id: str) -> list[Path]:
    needle = _needle(user_id)
    return [path for path in _files(spools) if needle in _read(path)]


def _files(spools: Iterable[Path]) -> list[Path]:
    return sorted(path for spool in spools for path in spool.glob("*") if path.is_file())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def describe(forgotten: Forgotten) -> dict[str, Any]:
    return {"rows": forgotten.rows, "hours_changed": forgotten.hours, "left": forgotten.left}
