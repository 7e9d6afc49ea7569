"""Files and batches on disk: rows in SQLite, contents beside them. Each belongs to the key that made it."""

import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from spanwell.transactions import transaction

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,  -- id of the key; '' is the operator's
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    facts TEXT NOT NULL  -- JSON: everything, as OpenAI's clients see it
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    facts TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS batches_by_age ON batches (is_open, created_at);
"""
ADD_FILE: Final = "INSERT INTO files VALUES (:id, :owner, :created_at, :expires_at, :facts)"
FIND_FILE: Final = "SELECT facts FROM files WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)"
LIST_FILES: Final = "SELECT facts FROM files WHERE ?1 IS NULL OR owner = ?1 ORDER BY created_at DESC, id DESC"
ADD_BATCH: Final = "INSERT INTO batches VALUES (:id, :owner, :created_at, 1, :facts)"
FIND_BATCH: Final = "SELECT facts FROM batches WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)"
LIST_BATCHES: Final = "SELECT facts FROM batches WHERE ?1 IS NULL OR owner = ?1 ORDER BY created_at DESC, id DESC"
LIST_OPEN: Final = "SELECT facts FROM batches WHERE is_open = 1 ORDER BY created_at, id"
CHANGE_BATCH: Final = "UPDATE batches SET is_open = ?2, facts = ?3 WHERE id = ?1"
# The input of an open batch stays until that is over.
LIST_EXPIRED: Final = """
SELECT id FROM files
WHERE expires_at <= ? AND id NOT IN (SELECT json_extract(facts, '$.input_file_id') FROM batches WHERE is_open = 1)
"""
IS_IN_USE: Final = "SELECT ? IN (SELECT json_extract(facts, '$.input_file_id') FROM batches WHERE is_open = 1)"
COUNT_OPEN: Final = "SELECT count(*) FROM batches WHERE is_open = 1 AND owner = ?"
DELETE_BATCHES: Final = "DELETE FROM batches WHERE is_open = 0 AND created_at <= ?"
BUSY_S: Final = 5.0
LEAST_FREE_BYTES: Final = 1 << 30
OPEN: Final = ("validating", "in_progress", "finalizing", "cancelling")

Row = dict[str, Any]


class BatchStore:
    """Any thread may ask it: one after the other, and each question is short."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._state = sqlite3.connect(
            folder / "batches.db", timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._state.execute("PRAGMA journal_mode = WAL")
        self._state.execute("PRAGMA synchronous = NORMAL")
        self._state.executescript(SCHEMA)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Once no thread is at it: a task that was cancelled may have left one."""
        with self._lock:
            self._state.close()

    # --- files

    @contextmanager
    def write_file(self) -> Iterator[tuple[str, BinaryIO]]:
        """The id of a file to be, and what to write it into; it is gone again where the block fails."""
        file_id = "file-" + secrets.token_hex(12)
        path = self.path_of(file_id)
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                yield file_id, file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def append_to(self, file_id: str) -> BinaryIO:
        """A file of results that grows: it has no row before its batch is over."""
        return os.fdopen(os.open(self.path_of(file_id), os.O_CREAT | os.O_RDWR, 0o600), "r+b")

    def add_file(self, file_id: str, facts: Mapping[str, Any]) -> Row:
        """Make a written file one of its owner's: `owner, filename, purpose, created_at, expires_at`."""
        row = {"id": file_id, "bytes": self.path_of(file_id).stat().st_size, **facts}
        with self._lock:
            self._state.execute(ADD_FILE, row | {"facts": orjson.dumps(row).decode()})
        return row

    def has_room(self) -> bool:
        """Whether the disk may take more; the rest of it is for the state and the spans."""
        return shutil.disk_usage(self._folder).free > LEAST_FREE_BYTES

    def find_file(self, file_id: str, owner: str | None) -> Row | None:
        """`owner` None sees everyone's."""
        return self._find(FIND_FILE, file_id, owner)

    def list_files(self, owner: str | None) -> list[Row]:
        return self._list(LIST_FILES, owner)

    def read_file(self, file_id: str) -> BinaryIO:
        """Raises FileNotFoundError."""
        return self.path_of(file_id).open("rb")

    def path_of(self, file_id: str) -> Path:
        """Ids come from here: whoever brings one from outside asks `find_file` first."""
        return self._folder / f"{file_id}.bin"

    def delete_file(self, file_id: str) -> None:
        with self._lock:
            self._state.execute("DELETE FROM files WHERE id = ?", (file_id,))
        self.path_of(file_id).unlink(missing_ok=True)

    def list_expired_files(self, now: float) -> list[str]:
        with self._lock:
            return [file_id for (file_id,) in self._state.execute(LIST_EXPIRED, (now,))]

    def is_in_use(self, file_id: str) -> bool:
        """Whether a batch that is not over reads it."""
        with self._lock:
            return bool(self._state.execute(IS_IN_USE, (file_id,)).fetchone()[0])

    # --- batches

    def add_batch(self, row: Row) -> None:
        with self._lock:
            self._state.execute(ADD_BATCH, row | {"facts": orjson.dumps(row).decode()})

    def find_batch(self, batch_id: str, owner: str | None) -> Row | None:
        return self._find(FIND_BATCH, batch_id, owner)

    def list_batches(self, owner: str | None) -> list[Row]:
        return self._list(LIST_BATCHES, owner)

    def count_open(self, owner: str) -> int:
        with self._lock:
            return int(self._state.execute(COUNT_OPEN, (owner,)).fetchone()[0])

    def list_open(self) -> list[Row]:
        """What is not over, oldest first."""
        with self._lock:
            return [orjson.loads(facts) for (facts,) in self._state.execute(LIST_OPEN)]

    def change_batch(self, batch_id: str, *, among: Sequence[str] = OPEN, **changes: Any) -> bool:
        """Write `changes` if the batch's status is one of `among`; whether it was."""
        with self._lock, transaction(self._state):
            row = self._find(FIND_BATCH, batch_id, None)
            if row is None or row["status"] not in among:
                return False
            row |= changes
            self._state.execute(CHANGE_BATCH, (batch_id, row["status"] in OPEN, orjson.dumps(row).decode()))
        return True

    def delete_batches(self, before: float) -> None:
        """Forget those that are over, and were made before then."""
        with self._lock:
            self._state.execute(DELETE_BATCHES, (before,))

    def _find(self, question: str, identity: str, owner: str | None) -> Row | None:
        with self._lock:
            found = self._state.execute(question, (identity, owner)).fetchone()
        return orjson.loads(found[0]) if found else None

    def _list(self, question: str, owner: str | None) -> list[Row]:
        with self._lock:
            return [orjson.loads(facts) for (facts,) in self._state.execute(question, (owner,))]
