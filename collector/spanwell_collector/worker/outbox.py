"""Alert states and the messages they caused, saved in one transaction: a restart neither loses nor repeats one."""

import hashlib
import json
import sqlite3
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from spanwell.transactions import transaction
from spanwell_collector.worker.alerts import OK, State
from spanwell_collector.worker.webhook import AlertEvent

Delivery = Literal["pending", "delivered", "failed", "none"]
KEPT = timedelta(days=7)
BATCH = 100


class Message(NamedTuple):
    """One webhook to send; `body` is byte for byte the same at every try."""

    message_id: str
    receiver: str
    body: bytes
    failures: int


def load_state(database: sqlite3.Connection, fingerprint: str) -> State:
    row = database.execute("SELECT phase, since FROM alerts WHERE fingerprint = ?", (fingerprint,)).fetchone()
    if row is None:
        return OK
    return State(phase=row[0], since=None if row[1] is None else datetime.fromtimestamp(row[1], UTC))


def save_state(database: sqlite3.Connection, fingerprint: str, state: State) -> None:
    """Keep a state; ok is the absence of a row."""
    if state == OK:
        database.execute("DELETE FROM alerts WHERE fingerprint = ?", (fingerprint,))
        return
    since = None if state.since is None else state.since.timestamp()
    database.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)", (fingerprint, state.phase, since))


def save_transition(database: sqlite3.Connection, state: State, event: AlertEvent, body: bytes) -> None:
    """The new state and the message about it, both or neither."""
    delivery: Delivery = "pending" if event.receiver else "none"
    with transaction(database):
        save_state(database, event.fingerprint, state)
        database.execute(
            "INSERT OR IGNORE INTO outbox (message_id, receiver, fingerprint, event, body, delivery, next_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event.message_id,
                event.receiver,
                event.fingerprint,
                _event_json(event),
                body,
                delivery,
                event.ts.timestamp(),
            ),
        )


def due(database: sqlite3.Connection, now: datetime) -> list[Message]:
    """Messages whose time has come; of one alert only the oldest, so that resolved never overtakes firing."""
    rows = database.execute(
        "SELECT message_id, receiver, body, failures FROM outbox AS message"
        " WHERE delivery = 'pending' AND next_at <= ? AND NOT EXISTS ("
        "  SELECT 1 FROM outbox AS older WHERE older.delivery = 'pending' AND older.receiver = message.receiver"
        "  AND older.fingerprint = message.fingerprint AND older.seq < message.seq)"
        " ORDER BY seq LIMIT ?",
        (now.timestamp(), BATCH),
    )
    return [Message(*row) for row in rows]


def settle(database: sqlite3.Connection, message_id: str, delivery: Delivery) -> None:
    """The last word on a message."""
    database.execute("UPDATE outbox SET delivery = ? WHERE message_id = ?", (delivery, message_id))


def postpone(database: sqlite3.Connection, message_id: str, until: datetime) -> None:
    """One more failure; the next try is at `until`."""
    database.execute(
        "UPDATE outbox SET failures = failures + 1, next_at = ? WHERE message_id = ?", (until.timestamp(), message_id)
    )


def unreported(database: sqlite3.Connection) -> list[tuple[str, dict[str, Any]]]:
    """Events, delivery included, that the collector does not know in this form yet."""
    rows = database.execute(
        "SELECT message_id, event, delivery FROM outbox WHERE reported <> delivery ORDER BY seq LIMIT ?", (BATCH,)
    )
    return [(message_id, {**json.loads(event), "delivery": delivery}) for message_id, event, delivery in rows]


def mark_reported(database: sqlite3.Connection, message_id: str, delivery: Delivery, now: datetime) -> None:
    """The collector knows this delivery; what is settled and old is forgotten."""
    database.execute("UPDATE outbox SET reported = ? WHERE message_id = ?", (delivery, message_id))
    database.execute(
        "DELETE FROM outbox WHERE reported = delivery AND delivery <> 'pending' AND next_at < ?",
        ((now - KEPT).timestamp(),),
    )


def disable(database: sqlite3.Connection, url: str) -> None:
    """Never call this URL again: it answered 410."""
    database.execute("INSERT OR IGNORE INTO disabled_receivers VALUES (?)", (_hash(url),))


def is_disabled(database: sqlite3.Connection, url: str) -> bool:
    found = database.execute("SELECT 1 FROM disabled_receivers WHERE address = ?", (_hash(url),)).fetchone()
    return found is not None


def _hash(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _event_json(event: AlertEvent) -> str:
    fields = asdict(event)
    del fields["started"]
    return json.dumps({**fields, "ts": event.ts.isoformat()})
