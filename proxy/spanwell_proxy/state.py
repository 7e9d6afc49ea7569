"""The proxy's SQLite file: its schema, and how to open it. Workers share it; every write is a short transaction."""

import sqlite3
from pathlib import Path

SCHEMA = """
-- LEGACY
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,  -- SHA-256 of the key: the key itself is shown once and kept nowhere
    name TEXT NOT NULL,
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    models TEXT NOT NULL,  -- JSON list; empty means any
    budgets TEXT NOT NULL,  -- JSON list of {period, limit_pusd}
    metadata TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    blocked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS key_changes (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number INTEGER NOT NULL  -- counts up, so that workers notice
) STRICT;
INSERT OR IGNORE INTO key_changes VALUES (1, 0);
CREATE TABLE IF NOT EXISTS spending (
    key_id TEXT NOT NULL,
    period TEXT NOT NULL,
    window INTEGER NOT NULL,  -- seconds since 1970 at which it began
    spent_pusd INTEGER NOT NULL,
    PRIMARY KEY (key_id, period, window)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    amount_pusd INTEGER NOT NULL,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reservations_by_key ON reservations (key_id, expires_at, amount_pusd);
-- END LEGACY
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
CREATE TABLE IF NOT EXISTS cache (
    key BLOB PRIMARY KEY,
    answer BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    stored_at REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS cache_by_age ON cache (stored_at, size_bytes);
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
    return state
