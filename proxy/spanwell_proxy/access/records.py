"""Keys, teams and users as documents, with the audit log: one interface, and its store in SQLite."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import orjson

from spanwell.errors import SpanwellError
from spanwell.transactions import transaction
from spanwell_proxy.state import open_state

Kind = Literal["key", "team", "user"]
Document = dict[str, Any]
Result = TypeVar("Result")


class RecordsAwayError(SpanwellError):
    """The records cannot be read or written now."""


class Record(NamedTuple):
    """A document and the number of its last change; None is one that was deleted."""

    kind: Kind
    id: str
    document: Document | None
    revision: int


class Change(NamedTuple):
    """One document to write, or to delete, if it still is at `revision`: 0 where there must be none yet.

    `secrets` are hashes that become this key's, and must be nobody else's.
    """

    kind: Kind
    id: str
    document: Document | None
    revision: int
    entry: Document
    secrets: tuple[str, ...] = ()


class TakenError(Exception):
    """The secret is another key's."""


class Records(Protocol):
    """Shared by all workers. Every method raises RecordsAwayError."""

    async def read_since(self, revision: int) -> list[Record]:
        """What was changed after `revision`, oldest first; all there is, where revisions do not go so far."""

    async def read(self, kind: Kind, name: str) -> Record | None:
        """One that is not deleted."""

    async def write(self, change: Change) -> bool:
        """Write it with its audit entry; false if somebody else was faster. Raises TakenError."""

    async def note(self, entry: Document) -> None:
        """Add an audit entry of something that is kept elsewhere."""

    async def read_audit(self, most: int, before: int) -> list[Document]:
        """The newest entries with a number below `before`, newest first."""

    async def close(self) -> None: ...


class SqliteRecords:
    """Transactions run on a thread of their own."""

    def __init__(self, path: Path) -> None:
        self._state = open_state(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")

    async def read_since(self, revision: int) -> list[Record]:
        return await self._run(lambda: _read_since(self._state, revision))

    async def read(self, kind: Kind, name: str) -> Record | None:
        return await self._run(lambda: _read(self._state, kind, name))

    async def write(self, change: Change) -> bool:
        return await self._run(lambda: _write(self._state, change))

    async def note(self, entry: Document) -> None:
        row = (orjson.dumps(entry).decode(),)
        await self._run(lambda: self._state.execute("INSERT INTO audit (entry) VALUES (?)", row))

    async def read_audit(self, most: int, before: int) -> list[Document]:
        return await self._run(lambda: _read_audit(self._state, most, before))

    async def close(self) -> None:
        self._thread.shutdown()
        self._state.close()

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise RecordsAwayError(f"the keys cannot be read or written: {error}") from error


def _read_since(state: sqlite3.Connection, revision: int) -> list[Record]:
    (last,) = state.execute("SELECT coalesce(max(revision), 0) FROM records").fetchone()
    since = revision if revision <= last else -1
    rows = state.execute("SELECT * FROM records WHERE revision > ? ORDER BY revision", (since,))
    return [_to_record(row) for row in rows]


def _read(state: sqlite3.Connection, kind: Kind, name: str) -> Record | None:
    row = state.execute(
        "SELECT * FROM records WHERE kind = ? AND id = ? AND document IS NOT NULL", (kind, name)
    ).fetchone()
    return _to_record(row) if row else None


def _write(state: sqlite3.Connection, change: Change) -> bool:
    with transaction(state):
        row = state.execute(
            "SELECT revision, document IS NULL FROM records WHERE kind = ? AND id = ?", (change.kind, change.id)
        ).fetchone()
        if (0 if row is None or row[1] else row[0]) != change.revision:
            return False
        if change.kind == "key":  # a team may have the id of a key as its name
            state.execute("DELETE FROM secrets WHERE key_id = ?", (change.id,))
        _claim(state, change.id, change.secrets)
        text = None if change.document is None else orjson.dumps(change.document).decode()
        state.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, (SELECT coalesce(max(revision), 0) + 1 FROM records))",
            (change.kind, change.id, text),
        )
        state.execute("INSERT INTO audit (entry) VALUES (?)", (orjson.dumps(change.entry).decode(),))
    return True


def _claim(state: sqlite3.Connection, key_id: str, secrets: Sequence[str]) -> None:
    try:
        state.executemany("INSERT INTO secrets VALUES (?, ?)", [(secret, key_id) for secret in secrets])
    except sqlite3.IntegrityError as error:
        raise TakenError from error


def _read_audit(state: sqlite3.Connection, most: int, before: int) -> list[Document]:
    rows = state.execute(
        "SELECT number, entry FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?", (before, most)
    )
    return [{"number": number} | orjson.loads(entry) for number, entry in rows]


def _to_record(row: Sequence[Any]) -> Record:
    kind, name, document, revision = row
    return Record(kind, name, None if document is None else orjson.loads(document), revision)
