"""A key for each user, kept under the project's own: whoever erases a user's key erases every text sealed with it."""

import hashlib
import hmac
import os
import sqlite3
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

from spanwell_proxy.sealing.box import UnsealError, seal, unseal
from spanwell_proxy.sealing.project import ProjectKey

KNOWN_S: Final = 5.0  # that a key is used before it is asked again whether it still exists
MOST_KNOWN: Final = 4096
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS user_keys (id BLOB PRIMARY KEY, user BLOB NOT NULL UNIQUE, wrapped TEXT NOT NULL)
"""


class UserKey(NamedTuple):
    """`id` is random: a key that is made after another was erased is not that one."""

    id: bytes
    secret: bytes


class UserKeys:
    """The keys in a file, `users.db`. Users are stored as digests, and keys sealed: the file alone tells nothing."""

    def __init__(self, path: Path, project: ProjectKey) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._project = project
        self._known: OrderedDict[str, tuple[float, UserKey]] = OrderedDict()
        path.touch(mode=0o600)
        self._file = sqlite3.connect(path, timeout=5.0, isolation_level=None)
        # What is deleted is overwritten, in the journal too, and no log keeps it.
        self._file.executescript("PRAGMA secure_delete=ON; PRAGMA journal_mode=DELETE;" + SCHEMA)

    def find(self, user: str) -> UserKey:
        """The user's key; made at the first text. Raises sqlite3.Error."""
        now = time.monotonic()
        since, known = self._known.get(user, (0.0, None))
        if known and now - since < KNOWN_S:
            return known
        row = self._select(user)
        if row is None:
            made = seal(os.urandom(32).hex(), self._project.id, self._wrapping)
            self._file.execute(
                "INSERT OR IGNORE INTO user_keys VALUES (?, ?, ?)", (os.urandom(8), self._digest(user), made)
            )
            row = self._select(user) or (b"", "")
        key = UserKey(row[0], bytes.fromhex(unseal(row[1], self._wrapping)))
        self._known[user] = (now, key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return key

    def find_by_id(self, key_id: bytes) -> bytes:
        """The key a text names. Raises UnsealError where it was erased."""
        row = self._file.execute("SELECT wrapped FROM user_keys WHERE id = ?", (key_id,)).fetchone()
        if row is None:
            raise UnsealError("its key was erased, or is another project's")
        return bytes.fromhex(unseal(row[0], self._wrapping))

    def erase(self, user: str) -> bool:
        """Whether there was one. Workers notice within seconds."""
        self._known.pop(user, None)
        done = self._file.execute("DELETE FROM user_keys WHERE user = ?", (self._digest(user),)).rowcount > 0
        self._file.execute("VACUUM")
        return done

    def close(self) -> None:
        self._file.close()

    @property
    def _wrapping(self) -> bytes:
        return self._project.derive("user keys")

    def _select(self, user: str) -> tuple[bytes, str] | None:
        row: tuple[bytes, str] | None = self._file.execute(
            "SELECT id, wrapped FROM user_keys WHERE user = ?", (self._digest(user),)
        ).fetchone()
        return row

    def _digest(self, user: str) -> bytes:
        return hmac.digest(self._project.derive("users"), user.encode("utf-8", "surrogatepass"), hashlib.sha256)
