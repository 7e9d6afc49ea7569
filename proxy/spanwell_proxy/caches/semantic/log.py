"""What questions were asked, as a log that workers or hosts share: each adds its own, and reads what others added.

The verdicts of second opinions are counted beside it. A log that is away holds nothing, and raises no errors.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell.transactions import transaction
from spanwell_proxy.caches.semantic.verdicts import Verdicts
from spanwell_proxy.caches.sqlite import open_answers

logger = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS questions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    partition BLOB NOT NULL,
    key BLOB NOT NULL,
    question TEXT NOT NULL,
    vector BLOB NOT NULL,  -- float32
    expires_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS questions_by_expiry ON questions (expires_at);
CREATE TABLE IF NOT EXISTS verdicts (
    model TEXT PRIMARY KEY,
    checked INTEGER NOT NULL,
    different INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
JUDGE: Final = """
INSERT INTO verdicts VALUES (?1, 1, ?2)
ON CONFLICT DO UPDATE SET checked = checked + 1, different = different + ?2
"""
PAGE: Final = 1000
PREFIX: Final = "spanwell:questions:"
CHECKED, DIFFERENT = PREFIX + "checked", PREFIX + "different"
TIMEOUT_S: Final = 0.5


class Asked(NamedTuple):
    """A question, and the exact cache's key of its answer."""

    partition: bytes
    key: bytes
    text: str
    vector: bytes
    expires_at: float


class QuestionLog(Protocol):
    """`read` gives what was added since it was last called, at first everything; a page at a time."""

    async def add(self, asked: Sequence[Asked]) -> None: ...

    async def read(self) -> list[Asked]: ...

    async def judge(self, model: str, *, is_different: bool) -> None: ...

    async def read_verdicts(self) -> dict[str, Verdicts] | None:
        """By model; None where they cannot be known."""

    async def forget_verdicts(self, model: str) -> bool:
        """Begin to count anew: what was wrong has been put right. False where that could not be noted."""

    async def close(self) -> None: ...


class SqliteLog:
    """One thread does all of it: nothing here is waited for by a call."""

    def __init__(self, path: Path, most: int) -> None:
        self._most = most
        self._state = open_answers(path)
        self._state.executescript(SCHEMA)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="questions")
        self._seen = 0

    async def add(self, asked: Sequence[Asked]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._add, asked)

    async def read(self) -> list[Asked]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read)

    async def judge(self, model: str, *, is_different: bool) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._execute, JUDGE, (model, int(is_different)))

    async def read_verdicts(self) -> dict[str, Verdicts] | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_verdicts)

    async def forget_verdicts(self, model: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._execute, "DELETE FROM verdicts WHERE model = ?", (model,)
        )

    async def close(self) -> None:
        self._thread.shutdown()
        self._state.close()

    def _add(self, asked: Sequence[Asked]) -> None:
        rows = [(one.partition, one.key, one.text, one.vector, one.expires_at) for one in asked]
        sql = "INSERT INTO questions (partition, key, question, vector, expires_at) VALUES (?, ?, ?, ?, ?)"
        try:
            with transaction(self._state):
                self._state.executemany(sql, rows)
                self._state.execute(
                    "DELETE FROM questions WHERE number <= (SELECT max(number) FROM questions) - ? OR expires_at < ?",
                    (self._most, time.time()),
                )
        except sqlite3.Error as error:
            logger.warning("%d questions were not kept: %s", len(rows), error)

    def _read(self) -> list[Asked]:
        sql = (
            "SELECT number, partition, key, question, vector, expires_at FROM questions WHERE number > ?"
            " ORDER BY number LIMIT ?"
        )
        try:
            rows = self._state.execute(sql, (self._seen, PAGE)).fetchall()
        except sqlite3.Error as error:
            logger.warning("the questions cannot be read: %s", error)
            return []
        self._seen = rows[-1][0] if rows else self._seen
        return [Asked(*row[1:]) for row in rows]

    def _read_verdicts(self) -> dict[str, Verdicts] | None:
        try:
            rows = self._state.execute("SELECT model, checked, different FROM verdicts").fetchall()
        except sqlite3.Error as error:
            logger.warning("the verdicts cannot be read: %s", error)
            return None
        return {model: Verdicts(checked, different) for model, checked, different in rows}

    def _execute(self, sql: str, values: tuple[object, ...]) -> bool:
        try:
            self._state.execute(sql, values)
        except sqlite3.Error as error:
            logger.warning("a verdict was not counted: %s", error)
            return False
        return True


class RedisLog:
    """A stream of Redis, cut at its bound."""

    def __init__(self, url: str, most: int) -> None:
        self._most = most
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._seen = b"0"
        self._is_away = False

    async def add(self, asked: Sequence[Asked]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for one in asked:
                    facts = orjson.dumps([one.text, one.expires_at])
                    fields = {b"p": one.partition, b"k": one.key, b"f": facts, b"v": one.vector}
                    pipeline.xadd(PREFIX + "log", fields, maxlen=self._most, approximate=True)  # type: ignore[arg-type]
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._tell(error)

    async def read(self) -> list[Asked]:
        try:
            found: Any = await self._redis.xrange(PREFIX + "log", min=b"(" + self._seen, count=PAGE)
        except (RedisError, OSError) as error:
            self._tell(error)
            return []
        self._is_away = False
        self._seen = found[-1][0] if found else self._seen
        return [Asked(fields[b"p"], fields[b"k"], *_read_facts(fields)) for _, fields in found]

    async def judge(self, model: str, *, is_different: bool) -> None:
        try:
            async with self._redis.pipeline() as pipeline:
                pipeline.hincrby(CHECKED, model, 1)
                pipeline.hincrby(DIFFERENT, model, int(is_different))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._tell(error)

    async def read_verdicts(self) -> dict[str, Verdicts] | None:
        try:
            async with self._redis.pipeline() as pipeline:
                for counts in (CHECKED, DIFFERENT):
                    pipeline.hgetall(counts)
                checked, different = await pipeline.execute()
        except (RedisError, OSError) as error:
            self._tell(error)
            return None
        return {model.decode(): Verdicts(int(count), int(different.get(model, 0))) for model, count in checked.items()}

    async def forget_verdicts(self, model: str) -> bool:
        try:
            async with self._redis.pipeline() as pipeline:
                for counts in (CHECKED, DIFFERENT):
                    pipeline.hdel(counts, model)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._tell(error)
            return False
        return True

    async def close(self) -> None:
        await self._redis.aclose()

    def _tell(self, error: Exception) -> None:
        if not self._is_away:
            logger.warning("Redis is away, questions and verdicts are not shared: %s", type(error).__name__)
        self._is_away = True


def _read_facts(fields: dict[bytes, bytes]) -> tuple[str, bytes, float]:
    text, expires_at = orjson.loads(fields[b"f"])
    return text, fields[b"v"], expires_at
