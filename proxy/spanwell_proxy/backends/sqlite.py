"""Backends in the proxy's SQLite file, for the workers of one host."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from spanwell_proxy.backends.probe import Served
from spanwell_proxy.backends.store import STALE_S, Known, StoreAwayError, What
from spanwell_proxy.state import open_state

Result = TypeVar("Result")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS backends (
    name TEXT PRIMARY KEY,
    document TEXT,  -- JSON; NULL: it stands in the file
    drained INTEGER NOT NULL DEFAULT 0,
    served TEXT NOT NULL DEFAULT '[]'  -- JSON list of [name, max_tokens]
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
    what TEXT PRIMARY KEY,
    number INTEGER NOT NULL  -- counts up, so that workers notice
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO changes VALUES ('backends', 0), ('configuration', 0);
CREATE TABLE IF NOT EXISTS draining (  -- calls that still run at drained backends
    backend TEXT NOT NULL,
    worker TEXT NOT NULL,
    calls INTEGER NOT NULL,
    told_at REAL NOT NULL,
    PRIMARY KEY (backend, worker)
) STRICT, WITHOUT ROWID;
"""
ADD: Final = """
INSERT INTO backends (name, document) VALUES (?, ?) ON CONFLICT (name) DO UPDATE
SET document = excluded.document, drained = 0, served = '[]' WHERE backends.document IS NULL
"""
REMOVE: Final = "DELETE FROM backends WHERE name = ? AND document IS NOT NULL"
DRAIN: Final = "INSERT INTO backends (name, drained) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET drained = ?"
KEEP: Final = "INSERT INTO backends (name, served) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET served = ?"
MOVE: Final = "UPDATE changes SET number = number + 1 WHERE what = ?"
RUNNING: Final = "SELECT backend, sum(calls) FROM draining WHERE told_at > ? AND worker != ? GROUP BY backend"


class SqliteBackends:
    """Reads are short and done at once; writes may have to wait for other workers', and do so on a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = open_state(path)
        self._state.executescript(SCHEMA)

    async def close(self) -> None:
        self._state.close()

    async def count_changes(self, what: What) -> int:
        ((number,),) = self._read("SELECT number FROM changes WHERE what = ?", what)
        return int(number)

    async def list_known(self) -> list[Known]:
        return [
            Known(name, json.loads(document) if document else None, bool(drained), _read_served(served))
            for name, document, drained, served in self._read("SELECT name, document, drained, served FROM backends")
        ]

    async def add(self, name: str, document: Mapping[str, Any]) -> bool:
        return await self._write(lambda state: _change(state, ADD, name, json.dumps(document)))

    async def remove(self, name: str) -> bool:
        return await self._write(lambda state: _change(state, REMOVE, name))

    async def drain(self, name: str, *, drained: bool) -> None:
        await self._write(lambda state: _change(state, DRAIN, name, drained, drained))

    async def keep_served(self, name: str, served: Sequence[Served]) -> None:
        text = json.dumps(served)
        await self._write(lambda state: state.execute(KEEP, (name, text, text)))

    async def ask_reload(self) -> None:
        await self._write(lambda state: state.execute(MOVE, ("configuration",)))

    async def tell_draining(self, worker: str, calls: Mapping[str, int]) -> None:
        rows = [(name, worker, count, time.time()) for name, count in calls.items()]
        await self._write(lambda state: state.executemany("INSERT OR REPLACE INTO draining VALUES (?, ?, ?, ?)", rows))

    async def count_draining(self, worker: str) -> dict[str, int]:
        return dict(self._read(RUNNING, time.time() - STALE_S, worker))

    def _read(self, sql: str, *values: Any) -> list[Any]:
        try:
            return self._state.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreAwayError(f"the state of backends cannot be read now: {error}") from error

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await asyncio.to_thread(self._write_now, work)

    def _write_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            with closing(sqlite3.connect(self._path, timeout=5.0)) as own, own:
                return work(own)
        except sqlite3.Error as error:
            raise StoreAwayError(f"the state of backends cannot be written now: {error}") from error


def _change(state: sqlite3.Connection, sql: str, *values: Any) -> bool:
    changed = state.execute(sql, values).rowcount > 0
    if changed:
        state.execute(MOVE, ("backends",))
    return changed


def _read_served(text: str) -> tuple[Served, ...]:
    return tuple(Served(str(name), int(most)) for name, most in json.loads(text))
