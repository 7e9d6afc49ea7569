"""Answers in SQLite: shared by the workers of one host. The oldest make room for new ones."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from spanwell.transactions import transaction
from spanwell_proxy.caches.shelf import Put

logger = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    answer BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    stored_at REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (stored_at, size_bytes);
CREATE INDEX IF NOT EXISTS answers_by_expiry ON answers (expires_at);
CREATE TABLE IF NOT EXISTS purges (what TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
"""
BUSY_S: Final = 5.0
SWEEP_EVERY_S: Final = 10.0
SLACK: Final = 16  # one part in so many is written between two sweeps, and one is left free by each


class SqliteStore:
    """Reads on the caller's thread, a few microseconds each; writes on a thread of its own."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reading, self._writing = open_answers(path), open_answers(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._swept_at, self._written_bytes = 0.0, 0  # since then

    async def get(self, key: bytes) -> bytes | None:
        try:
            row = self._reading.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return None
        return bytes(row[0]) if row else None

    async def put_many(self, puts: Sequence[Put]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put_many, puts)

    async def purge(self, what: str, at: float) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._purge, what, at)

    async def read_purges(self) -> Mapping[str, float] | None:
        try:
            return dict(self._reading.execute("SELECT what, at FROM purges").fetchall())
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return None

    async def count(self) -> int:
        try:
            (found,) = self._reading.execute("SELECT count(*) FROM answers").fetchone()
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return 0
        return int(found)

    async def close(self) -> None:
        self._thread.shutdown()
        self._reading.close()
        self._writing.close()

    def _put_many(self, puts: Sequence[Put]) -> None:
        now = time.time()
        rows = [(put.key, put.answer, len(put.answer), now, put.expires_at) for put in puts]
        try:
            with transaction(self._writing):
                self._writing.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
                self._written_bytes += sum(len(put.answer) for put in puts)
                if now - self._swept_at >= SWEEP_EVERY_S or self._written_bytes > self._max_bytes // SLACK:
                    self._sweep(now)
        except sqlite3.Error as error:
            logger.warning("%d answers were not cached: %s", len(puts), error)

    def _sweep(self, now: float) -> None:
        self._swept_at, self._written_bytes = now, 0
        self._writing.execute("DELETE FROM answers WHERE expires_at <= ?", (now,))
        (used,) = self._writing.execute("SELECT coalesce(sum(size_bytes), 0) FROM answers").fetchone()
        if used <= self._max_bytes:
            return
        oldest = []
        for row, size in self._writing.execute("SELECT rowid, size_bytes FROM answers ORDER BY stored_at, rowid"):
            if used <= self._max_bytes - self._max_bytes // SLACK:
                break
            used -= size
            oldest.append((row,))
        self._writing.executemany("DELETE FROM answers WHERE rowid = ?", oldest)

    def _purge(self, what: str, at: float) -> bool:
        try:
            with transaction(self._writing):
                self._writing.execute("INSERT OR REPLACE INTO purges VALUES (?, ?)", (what, at))
                if what == "all":
                    self._writing.execute("DELETE FROM answers")
                    self._writing.execute("DELETE FROM purges WHERE what != 'all'")
        except sqlite3.Error as error:
            logger.warning("the cache was not purged: %s", error)
            return False
        return True


def open_answers(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode. What is lost of a cache is asked again, so nothing is synced to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    state = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    state.execute("PRAGMA journal_mode = WAL")
    state.execute("PRAGMA synchronous = OFF")
    state.executescript(SCHEMA)
    return state
