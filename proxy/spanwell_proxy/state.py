"""The proxy's SQLite file: its schema, and how to open it. Workers share it; every write is a short transaction."""

import sqlite3
from pathlib import Path

from spanwell.transactions import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (  -- keys, teams and users
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT,  -- JSON; NULL once it is deleted
    revision INTEGER NOT NULL,  -- of all records, counts up: workers read what is newer than what they have
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_revision ON records (revision);
CREATE TABLE IF NOT EXISTS secrets (
    hash TEXT PRIMARY KEY,  -- SHA-256 of a key in hex: the key itself is shown once and kept nowhere
    key_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    entry TEXT NOT NULL  -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS used (  -- units by quota and window
    quota TEXT NOT NULL,
    period TEXT NOT NULL,
    began INTEGER NOT NULL,  -- seconds since 1970
    amount INTEGER NOT NULL,
    PRIMARY KEY (quota, period, began)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (  -- units that a worker may use without asking
    quota TEXT NOT NULL,
    worker TEXT NOT NULL,
    held INTEGER NOT NULL,
    reserved INTEGER NOT NULL,  -- of it, by calls under way
    need INTEGER NOT NULL,  -- for which calls wait
    first INTEGER NOT NULL,  -- of it, for the one that waits longest
    since REAL NOT NULL,
    PRIMARY KEY (quota, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_by_worker ON leases (worker);
CREATE TABLE IF NOT EXISTS workers (
    worker TEXT PRIMARY KEY,
    alive_until REAL NOT NULL,  -- 0 once it is dead
    number INTEGER NOT NULL,  -- of the last thing it said
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
BRING_OVER = """
INSERT OR IGNORE INTO records SELECT 'key', id, json_object(
    'name', name, 'team', team, 'user', user, 'models', json(models), 'metadata', json(metadata),
    'budgets', (SELECT json_group_array(json_object(
        'usd', format('%d.%012d', value ->> 'limit_pusd' / 1000000000000, value ->> 'limit_pusd' % 1000000000000),
        'period', value ->> 'period')) FROM json_each(budgets)),
    'rpm', NULL, 'tpm', NULL, 'concurrency', NULL, 'created_at', created_at, 'expires_at', expires_at,
    'blocked', json(iif(blocked, 'true', 'false')), 'hash', lower(hex(hash)), 'former', NULL
), row_number() OVER (ORDER BY created_at) FROM keys;
INSERT OR IGNORE INTO secrets SELECT lower(hex(hash)), id FROM keys;
INSERT OR IGNORE INTO used SELECT 'usd:key:' || key_id, period, window, spent_pusd FROM spending;
DROP TABLE keys; DROP TABLE spending; DROP TABLE reservations; DROP TABLE key_changes
"""
BUSY_S = 5.0


def open_state(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode, to be used by one thread at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    state = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    state.execute("PRAGMA journal_mode = WAL")
    state.execute("PRAGMA synchronous = NORMAL")
    state.executescript(SCHEMA)
    if state.execute("SELECT 1 FROM sqlite_schema WHERE name = 'key_changes'").fetchone():
        _bring_over(state)
    return state


def _bring_over(state: sqlite3.Connection) -> None:
    """Keys, and what they spent, from the tables of version 0.1."""
    with transaction(state):
        if state.execute("SELECT 1 FROM sqlite_schema WHERE name = 'key_changes'").fetchone():  # nobody was faster
            for statement in BRING_OVER.split(";"):
                state.execute(statement)
