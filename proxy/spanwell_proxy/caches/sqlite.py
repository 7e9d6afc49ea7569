"""Answers in SQLite: shared by the workers of one host. The oldest make room for new ones.

A write is few statements, and a look-up of what is not there is none: each takes Python's lock from other threads.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

from spanwell.transactions import transaction
from spanwell_proxy.caches.shelf import LOOK_EVERY_S, Put
from spanwell_proxy.caches.sieve import HEAD_BYTES, MOST_KEYS, Sieve

logger = logging.getLogger(__name__)

SCHEMA: Final = """
DROP TABLE IF EXISTS answers;  -- of version 0.1
CREATE TABLE IF NOT EXISTS kept (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- workers learn what is newer than what they know
    key BLOB NOT NULL UNIQUE,
    expires_at REAL NOT NULL,
    size_bytes INTEGER NOT NULL,
    answer BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS kept_by_expiry ON kept (expires_at, size_bytes);
CREATE TABLE IF NOT EXISTS purges (what TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
"""
PUT: Final = "INSERT OR REPLACE INTO kept (key, expires_at, size_bytes, answer) VALUES "
ROWS_A_PUT: Final = 100
LEARN: Final = (
    "SELECT max(number), group_concat(substr(hex(key), 1, 2 * ?), '')"
    " FROM (SELECT number, key FROM kept WHERE number > ? ORDER BY number LIMIT ?)"
)
KEYS_A_LOOK: Final = 10_000
KNOWN_S: Final = 2 * LOOK_EVERY_S  # a look that is older says nothing of what is not there
BUSY_S: Final = 5.0
SWEEP_EVERY_S: Final = 10.0
SLACK: Final = 16  # one part in so many is written between two sweeps, and one is left free by each


class SqliteStore:
    """Reads on the caller's thread, a few microseconds each; writes on a thread of its own."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reading, self._writing = open_answers(path), open_answers(path)
        self._writing.executescript(SCHEMA)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._swept_at, self._written_bytes = 0.0, 0  # since then
        self._sieve, self._learned, self._known_until = Sieve(), 0, 0.0

    async def get(self, key: bytes) -> bytes | None:
        if time.monotonic() < self._known_until and self._sieve.lacks(key):
            return None
        try:
            row = self._reading.execute("SELECT answer FROM kept WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return None
        return bytes(row[0]) if row else None

    async def put_many(self, puts: Iterable[Put]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put_many, iter(puts))

    async def purge(self, what: str, at: float) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._purge, what, at)

    async def catch_up(self) -> Mapping[str, float] | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._catch_up)

    async def count(self) -> int:
        try:
            (found,) = self._reading.execute("SELECT count(*) FROM kept").fetchone()
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return 0
        return int(found)

    async def close(self) -> None:
        self._thread.shutdown()
        self._reading.close()
        self._writing.close()

    def _put_many(self, puts: Iterator[Put]) -> None:
        now = time.time()
        try:
            with transaction(self._writing):
                while some := list(islice(puts, ROWS_A_PUT)):
                    self._put(some)
                if now - self._swept_at >= SWEEP_EVERY_S or self._written_bytes > self._max_bytes // SLACK:
                    self._sweep(now)
        except sqlite3.Error as error:
            logger.warning("answers were not cached: %s", error)

    def _put(self, puts: Sequence[Put]) -> None:
        fields: list[bytes | float] = []
        for put in puts:
            size = len(put.answer)
            fields += (put.key, put.expires_at, size, put.answer)
            self._written_bytes += size
        self._writing.execute(PUT + ", ".join(["(?, ?, ?, ?)"] * len(puts)), fields)

    def _sweep(self, now: float) -> None:
        self._swept_at, self._written_bytes = now, 0
        self._writing.execute("DELETE FROM kept WHERE expires_at <= ?", (now,))
        (used,) = self._writing.execute("SELECT coalesce(sum(size_bytes), 0) FROM kept").fetchone()
        if used <= self._max_bytes:
            return
        last = 0
        for number, size in self._writing.execute("SELECT number, size_bytes FROM kept ORDER BY number"):
            if used <= self._max_bytes - self._max_bytes // SLACK:
                break
            used, last = used - size, number
        self._writing.execute("DELETE FROM kept WHERE number <= ?", (last,))

    def _catch_up(self) -> Mapping[str, float] | None:
        try:
            self._learn(time.monotonic())
            return dict(self._writing.execute("SELECT what, at FROM purges").fetchall())
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return None

    def _learn(self, now: float) -> None:
        """Which keys were written since the last look, by whatever worker."""
        if self._sieve.added > MOST_KEYS:
            self._known_until = 0.0  # first: this sieve knows nothing yet
            self._sieve, self._learned = Sieve(), 0
        last: int | None = 0
        while last is not None:
            last, heads = self._writing.execute(LEARN, (HEAD_BYTES, self._learned, KEYS_A_LOOK)).fetchone()
            if last is not None:
                self._sieve.add(bytes.fromhex(heads))
                self._learned = last
        self._known_until = now + KNOWN_S

    def _purge(self, what: str, at: float) -> bool:
        try:
            with transaction(self._writing):
                self._writing.execute("INSERT OR REPLACE INTO purges VALUES (?, ?)", (what, at))
                if what == "all":
                    self._writing.execute("DELETE FROM kept")
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
    return state
