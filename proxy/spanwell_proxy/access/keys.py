"""Virtual keys: who a secret belongs to. Secrets are hashed at rest, and looked up in memory."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from spanwell.loopback import is_for_this_machine
from spanwell.transactions import transaction
from spanwell_proxy.caller import Budget, Caller
from spanwell_proxy.failures import ApiError

OPERATOR = Caller(operator=True)
NO_KEY = ApiError(401, "invalid_api_key", "no API key was given: send `Authorization: Bearer KEY`")
WRONG_KEY = ApiError(401, "invalid_api_key", "this API key is not valid")  # unknown, blocked, expired: one answer
NOT_LOCAL = ApiError(
    403, "not_for_this_machine", "without keys only this machine may call: set general_settings.master_key"
)
HEADERS = (b"api-key", b"x-api-key")


@dataclass(frozen=True)
class NewKey:
    """What a key shall allow. `secret` is given to import a key that exists elsewhere; empty makes one."""

    name: str = ""
    team: str = ""
    user: str = ""
    models: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    expires_at: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


class KeyRing:
    """All keys in memory. `refresh` looks whether any worker changed them, which costs one small read."""

    def __init__(self, state: sqlite3.Connection, master_key: str) -> None:
        self._state = state
        self._master = {hash_key(master_key.encode()): OPERATOR} if master_key else {}
        self._callers: dict[bytes, Caller] = {}
        self._is_open = False
        self._seen = -1
        self.refresh()

    def find(self, headers: Mapping[bytes, bytes], now: float) -> Caller:
        """The caller a request's key belongs to; without any key, whoever is on this machine. ApiError 401 or 403."""
        secret = read_secret(headers)
        if secret:
            digest = hash_key(secret)
            caller = self._callers.get(digest)
            if caller is None and self.refresh():
                caller = self._callers.get(digest)
            if caller and (caller.expires_at is None or now < caller.expires_at):
                return caller
        if self._is_open:
            if not _is_local(headers):
                raise NOT_LOCAL
            return OPERATOR
        raise WRONG_KEY if secret else NO_KEY

    def is_operator(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the request carries the master key."""
        return hash_key(read_secret(headers)) in self._master

    def set_master_key(self, master_key: str) -> None:
        """Another configuration may name another one."""
        self._master = {hash_key(master_key.encode()): OPERATOR} if master_key else {}
        self._seen = -1
        self.refresh()

    def refresh(self) -> bool:
        """Read the keys again if they were changed; whether they were."""
        (number,) = self._state.execute("SELECT number FROM key_changes").fetchone()
        if number == self._seen:
            return False
        rows = self._state.execute("SELECT * FROM keys")
        names = [column[0] for column in rows.description]
        found = [dict(zip(names, row, strict=True)) for row in rows]
        self._callers = {row["hash"]: _read_caller(row) for row in found if not row["blocked"]} | self._master
        self._is_open = not found and not self._master
        self._seen = number
        return True


def create_key(state: sqlite3.Connection, key: NewKey) -> tuple[str, str]:
    """Store a key and return (id, secret): the only time the secret is seen. Raises ApiError 409 if it exists."""
    key_id, secret = "key_" + secrets.token_hex(8), key.secret or "sk-spanwell-" + secrets.token_urlsafe(32)
    budgets = [{"period": budget.period, "limit_pusd": budget.limit_pusd} for budget in key.budgets]
    try:
        with transaction(state):
            state.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    key_id,
                    hash_key(secret.encode()),
                    key.name,
                    key.team,
                    key.user,
                    orjson.dumps(key.models).decode(),
                    orjson.dumps(budgets).decode(),
                    orjson.dumps(key.metadata).decode(),
                    time.time(),
                    key.expires_at,
                ),
            )
            _note_change(state)
    except sqlite3.IntegrityError as error:
        raise ApiError(409, "key_exists", "this key exists already") from error
    return key_id, secret


def list_keys(state: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every key without its hash, oldest first."""
    rows = state.execute(
        "SELECT id, name, team, user, models, budgets, metadata, created_at, expires_at, blocked FROM keys"
        " ORDER BY created_at"
    )
    names = [column[0] for column in rows.description]
    keys = [dict(zip(names, row, strict=True)) for row in rows]
    return [
        key
        | {name: orjson.loads(key[name]) for name in ("models", "budgets", "metadata")}
        | {"blocked": bool(key["blocked"])}
        for key in keys
    ]


def block_key(state: sqlite3.Connection, key_id: str) -> bool:
    """Refuse the key from now on; false if there is none of this id."""
    with transaction(state):
        changed = state.execute("UPDATE keys SET blocked = 1 WHERE id = ?", (key_id,)).rowcount
        _note_change(state)
    return changed > 0


def delete_key(state: sqlite3.Connection, key_id: str) -> bool:
    """Forget the key; what it spent stays on record. False if there is none of this id."""
    with transaction(state):
        changed = state.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount
        _note_change(state)
    return changed > 0


def read_secret(headers: Mapping[bytes, bytes]) -> bytes:
    """The key a request carries, or nothing."""
    given = headers.get(b"authorization", b"")
    if given[:7].lower() == b"bearer ":
        return given[7:].strip()
    return next((headers[name] for name in HEADERS if name in headers), b"")


def _is_local(headers: Mapping[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1")
    return is_for_this_machine(host, None if origin is None else origin.decode("latin-1"))


def hash_key(secret: bytes) -> bytes:
    # A key is 32 random bytes, so one round of SHA-256 is enough: there is no dictionary to try.
    return hashlib.sha256(secret).digest()


def _note_change(state: sqlite3.Connection) -> None:
    state.execute("UPDATE key_changes SET number = number + 1")


def _read_caller(row: Mapping[str, Any]) -> Caller:
    return Caller(
        key_id=row["id"],
        team=row["team"],
        user=row["user"],
        models=frozenset(orjson.loads(row["models"])),
        budgets=tuple(Budget(**budget) for budget in orjson.loads(row["budgets"])),
        expires_at=row["expires_at"],
        metadata=orjson.loads(row["metadata"]),
    )
