"""The worker's SQLite file: its tables, and how to open it. What stands in them is for verdicts.py and outbox.py."""

import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS verdicts (
    rubric TEXT, model TEXT, trace_id TEXT, span_id TEXT,
    judge TEXT NOT NULL,
    judged_at REAL NOT NULL,  -- unix seconds, as every time in this file
    score TEXT NOT NULL,  -- the JSON that POST /scores takes
    posted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rubric, model, trace_id, span_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS verdicts_by_judge ON verdicts (judge, judged_at);
CREATE INDEX IF NOT EXISTS verdicts_unposted ON verdicts (judged_at) WHERE posted = 0;

CREATE TABLE IF NOT EXISTS alerts (
    fingerprint TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    since REAL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    receiver TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    event TEXT NOT NULL,  -- the JSON that POST /alerts/events takes, less its delivery
    body BLOB NOT NULL,  -- what the receiver gets: the same bytes at every try
    delivery TEXT NOT NULL,  -- pending | delivered | failed | none
    failures INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    reported TEXT NOT NULL DEFAULT ''  -- the delivery that the collector has been told last
);
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (receiver, fingerprint, seq) WHERE delivery = 'pending';
CREATE INDEX IF NOT EXISTS outbox_unreported ON outbox (seq) WHERE reported <> delivery;

CREATE TABLE IF NOT EXISTS disabled_receivers (
    address TEXT PRIMARY KEY  -- hash of the URL that answered 410
) WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or make the file. Commits are durable before they return, across kill -9 and power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(SCHEMA)
    return database
