"""Which deployment made a response that its backend keeps, and whose it is. Ids outlive the worker that saw them."""

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell.transactions import transaction

logger = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS origins (
    id TEXT PRIMARY KEY,  -- of the response
    deployment TEXT NOT NULL,
    model TEXT NOT NULL,  -- that name whose deployment it is
    owner TEXT NOT NULL,  -- id of the key; empty: the operator's
    made_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS origins_by_age ON origins (made_at);
"""
MOST_IN_MEMORY: Final = 10_000
KEPT_S: Final = 30 * 86_400.0  # as long as OpenAI keeps a response
SWEEP_EVERY_S: Final = 3600.0
WRITE_PAUSE_S: Final = 0.02  # a batch a pause
PAUSES_S: Final = (0.0, 0.05, 0.2)  # an id that another worker has just answered with is written by then
BUSY_S: Final = 5.0
PREFIX: Final = "spanwell:origin:"
TIMEOUT_S: Final = 0.5


class Origin(NamedTuple):
    """Where a response comes from."""

    deployment: str
    model: str
    owner: str


class Store(Protocol):
    """Where origins are kept for the other workers. One that is away knows nothing: it raises no errors."""

    async def get(self, response_id: str) -> Origin | None: ...

    async def put_many(self, found: Sequence[tuple[str, Origin]]) -> None: ...

    async def close(self) -> None: ...


class Origins:
    """The latest in memory, all of them in the store. Written behind the calls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latest: OrderedDict[str, Origin] = OrderedDict()
        self._new: list[tuple[str, Origin]] = []
        self._has_new = asyncio.Event()

    def __len__(self) -> int:
        return len(self._latest)

    def note(self, response_id: str, origin: Origin) -> None:
        self._remember(response_id, origin)
        self._new.append((response_id, origin))
        self._has_new.set()

    async def find(self, response_id: str) -> Origin | None:
        """None for an id that nobody here has answered with."""
        if origin := self._latest.get(response_id):
            return origin
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            if found := await self._store.get(response_id):
                self._remember(response_id, found)
                return found
        return None

    async def write(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await self._has_new.wait()
            await asyncio.sleep(WRITE_PAUSE_S)
            await self.flush()

    async def close(self) -> None:
        await self.flush()
        await self._store.close()

    async def flush(self) -> None:
        """Write what is new."""
        new, self._new = self._new, []
        self._has_new.clear()
        if new:
            await self._store.put_many(new)

    def _remember(self, response_id: str, origin: Origin) -> None:
        self._latest[response_id] = origin
        if len(self._latest) > MOST_IN_MEMORY:
            self._latest.popitem(last=False)


class SqliteOrigins:
    """For the workers of one host. A look is a few microseconds; writes wait for the disk in a thread."""

    def __init__(self, path: Path) -> None:
        self._reading, self._writing = _open(path), _open(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="origins")
        self._swept = 0.0

    async def get(self, response_id: str) -> Origin | None:
        try:
            row = self._reading.execute(
                "SELECT deployment, model, owner FROM origins WHERE id = ?", (response_id,)
            ).fetchone()
        except sqlite3.Error as error:
            logger.warning("the origins of responses cannot be read: %s", error)
            return None
        return Origin(*row) if row else None

    async def put_many(self, found: Sequence[tuple[str, Origin]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put_many, found)

    async def close(self) -> None:
        self._thread.shutdown()  # it may still write for a task that was cancelled
        self._reading.close()
        self._writing.close()

    def _put_many(self, found: Sequence[tuple[str, Origin]]) -> None:
        now = time.time()
        try:
            with transaction(self._writing):
                self._writing.executemany(
                    "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?, ?)", [(key, *one, now) for key, one in found]
                )
                if now - self._swept > SWEEP_EVERY_S:
                    self._writing.execute("DELETE FROM origins WHERE made_at < ?", (now - KEPT_S,))
                    self._swept = now
        except sqlite3.Error as error:
            logger.warning("the origins of %d responses are lost: %s", len(found), error)


class RedisOrigins:
    """For several hosts."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)

    async def get(self, response_id: str) -> Origin | None:
        try:
            found = await self._redis.get(PREFIX + response_id)
        except (RedisError, OSError) as error:
            logger.warning("the origins of responses cannot be read: %s", error)
            return None
        return Origin(*found.decode().split("\n")) if isinstance(found, bytes) else None

    async def put_many(self, found: Sequence[tuple[str, Origin]]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for response_id, origin in found:
                    pipeline.set(PREFIX + response_id, "\n".join(origin), ex=int(KEPT_S))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            logger.warning("the origins of %d responses are lost: %s", len(found), error)

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose()


def open_origins(path: Path, redis_url: str) -> Origins:
    """In Redis if there is one, else in SQLite."""
    return Origins(RedisOrigins(redis_url) if redis_url else SqliteOrigins(path))


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    state = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    state.execute("PRAGMA journal_mode = WAL")
    state.execute("PRAGMA synchronous = NORMAL")
    state.executescript(SCHEMA)
    return state
