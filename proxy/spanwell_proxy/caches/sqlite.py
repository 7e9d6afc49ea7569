"""The exact cache in SQLite: shared by the workers of one host. The oldest answers make room for new ones."""

import asyncio
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spanwell.transactions import transaction
from spanwell_proxy.caches.exact import CacheSettings
from spanwell_proxy.state import open_state

logger = logging.getLogger(__name__)

PUTS_A_SWEEP = 32


class SqliteStore:
    """Reads on the caller's thread, a few microseconds each; writes on a thread of its own."""

    def __init__(self, path: Path, settings: CacheSettings) -> None:
        self._settings = settings
        self._reading, self._writing = open_state(path), open_state(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._puts = 0

    async def get(self, key: bytes) -> bytes | None:
        try:
            row = self._reading.execute(
                "SELECT answer FROM cache WHERE key = ? AND expires_at > ?", (key, time.time())
            ).fetchone()
        except sqlite3.Error as error:
            logger.warning("the cache cannot be read: %s", error)
            return None
        return bytes(row[0]) if row else None

    async def put(self, key: bytes, answer: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put, key, answer, time.time())

    async def close(self) -> None:
        self._thread.shutdown()
        self._reading.close()
        self._writing.close()

    def _put(self, key: bytes, answer: bytes, now: float) -> None:
        try:
            with transaction(self._writing):
                self._writing.execute(
                    "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?)",
                    (key, answer, len(answer), now, now + self._settings.ttl_s),
                )
                if self._puts % PUTS_A_SWEEP == 0 or len(answer) * PUTS_A_SWEEP > self._settings.max_bytes:
                    self._sweep(now)
        except sqlite3.Error as error:
            logger.warning("an answer was not cached: %s", error)
        self._puts += 1

    def _sweep(self, now: float) -> None:
        self._writing.execute("DELETE FROM cache WHERE expires_at <= ?", (now,))
        # Everything up to which the newer answers fill the bound.
        self._writing.execute(
            "DELETE FROM cache WHERE rowid IN (SELECT rowid FROM ("
            "SELECT rowid, sum(size_bytes) OVER (ORDER BY stored_at DESC, rowid DESC) AS filled FROM cache"
            ") WHERE filled > ?)",
            (self._settings.max_bytes,),
        )
