"""What outlives a worker and what all of them must know of backends, in the proxy's SQLite file.

Backends that were added by hand, which of all are drained, and the models each was last seen with. Several workers
write; each reads again when the number of changes has moved.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from spanwell_proxy.backends.probe import Served
from spanwell_proxy.state import open_state

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS backends (
    name TEXT PRIMARY KEY,
    document TEXT,  -- JSON, as POST /admin/backends takes it; NULL: it stands in the file
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
    worker INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    told_at REAL NOT NULL,
    PRIMARY KEY (backend, worker)
) STRICT, WITHOUT ROWID;
"""
STALE_S: Final = 5.0  # a worker that has told nothing for so long is gone


class Known(NamedTuple):
    """One row. `document` is None for a backend of the file."""

    name: str
    document: Mapping[str, Any] | None
    is_drained: bool
    served: tuple[Served, ...]


class BackendStore:
    """Every method is one short transaction; sqlite3.Error where the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = open_state(path)
        self._state.executescript(SCHEMA)

    def close(self) -> None:
        self._state.close()

    def count_changes(self, what: str = "backends") -> int:
        (number,) = self._state.execute("SELECT number FROM changes WHERE what = ?", (what,)).fetchone()
        return int(number)

    def list_known(self) -> list[Known]:
        rows = self._state.execute("SELECT name, document, drained, served FROM backends ORDER BY name").fetchall()
        return [
            Known(name, json.loads(document) if document else None, bool(drained), _read_served(served))
            for name, document, drained, served in rows
        ]

    def add(self, name: str, document: Mapping[str, Any]) -> bool:
        """False where there is one of that name."""
        sql = (
            "INSERT INTO backends (name, document) VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
            "SET document = excluded.document, drained = 0, served = '[]' WHERE backends.document IS NULL"
        )
        return self._change(sql, (name, json.dumps(document)))

    def remove(self, name: str) -> bool:
        """False where there is none that was added by hand."""
        return self._change("DELETE FROM backends WHERE name = ? AND document IS NOT NULL", (name,))

    def drain(self, name: str, *, drained: bool) -> None:
        sql = "INSERT INTO backends (name, drained) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET drained = ?"
        self._change(sql, (name, drained, drained))

    def keep_served(self, name: str, served: Sequence[Served]) -> None:
        """For the next start, when the backend may be away; no other worker has to hear of it."""
        text = json.dumps(served)
        sql = "INSERT INTO backends (name, served) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET served = ?"
        with self._state:
            self._state.execute(sql, (name, text, text))

    def ask_reload(self) -> None:
        """All workers are to read the configuration again."""
        self._state.execute("UPDATE changes SET number = number + 1 WHERE what = 'configuration'")

    def tell_draining(self, worker: int, calls: Mapping[str, int]) -> None:
        """How many calls of this worker still run at each drained backend."""
        rows = [(name, worker, count, time.time()) for name, count in calls.items()]
        self._state.executemany("INSERT OR REPLACE INTO draining VALUES (?, ?, ?, ?)", rows)

    def count_draining(self, worker: int) -> dict[str, int]:
        """What all workers but this one have told, by backend."""
        sql = "SELECT backend, sum(calls) FROM draining WHERE told_at > ? AND worker != ? GROUP BY backend"
        return dict(self._state.execute(sql, (time.time() - STALE_S, worker)).fetchall())

    def _change(self, sql: str, values: tuple[Any, ...]) -> bool:
        with closing(sqlite3.connect(self._path, timeout=5.0)) as own, own:
            changed = own.execute(sql, values).rowcount > 0
            if changed:
                own.execute("UPDATE changes SET number = number + 1 WHERE what = 'backends'")
        return changed


def _read_served(text: str) -> tuple[Served, ...]:
    return tuple(Served(str(name), int(most)) for name, most in json.loads(text))
