"""Virtual keys: who a secret belongs to. Secrets are hashed at rest, and looked up in memory."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from spanwell.loopback import is_for_this_machine
from spanwell_proxy.access.documents import Groups, is_blocked, read_caller, read_limits
from spanwell_proxy.access.records import Document, Record, Records, RecordsAwayError
from spanwell_proxy.caller import Caller, Limits
from spanwell_proxy.failures import ApiError

OPERATOR = Caller(operator=True, role="admin")
NO_KEY = ApiError(401, "invalid_api_key", "no API key was given: send `Authorization: Bearer KEY`")
WRONG_KEY = ApiError(401, "invalid_api_key", "this API key is not valid")  # unknown, blocked, expired: one answer
NOT_LOCAL = ApiError(
    403, "not_for_this_machine", "without keys only this machine may call: set general_settings.master_key"
)
UNKNOWN_YET = ApiError(503, "state_unavailable", "the keys cannot be read now; try again", retry_after_s=1.0)
HEADERS = (b"api-key", b"x-api-key")
NOTHING: Mapping[str, Any] = {}


class Holder(NamedTuple):
    """Whose a secret is, and until when: one that was rotated is good for a while."""

    caller: Caller
    until: float | None = None


class KeyRing:
    """All keys in memory. `refresh` reads what any worker has changed since."""

    def __init__(self, records: Records, master_key: str, groups: Groups | None = None) -> None:
        self._records = records
        self._groups: Groups = groups or {}
        self._documents: dict[str, dict[str, Document]] = {"key": {}, "team": {}, "user": {}}
        self._holders: dict[bytes, Holder] = {}
        self._secrets: dict[str, list[bytes]] = {}  # by key id
        self._seen = -1
        self._reading = asyncio.Lock()
        self._begun, self._read = 0, 0  # the latest reading that began, and that came to its end
        self.set_master_key(master_key)

    def set_master_key(self, master_key: str) -> None:
        """Another configuration may name another one."""
        self._master = {hash_key(master_key.encode())} if master_key else set()

    def set_groups(self, groups: Groups) -> None:
        """Names that stand for several models: `groups` of another configuration."""
        if groups != self._groups:
            self._groups = groups
            for key_id in self._documents["key"]:
                self._rebuild(key_id)

    async def find(self, headers: Mapping[bytes, bytes], now: float) -> Caller:
        """The caller a request's key belongs to; without any key, whoever is on this machine.

        Raises ApiError 401, 403, or 503 while nobody can know.
        """
        secret = read_secret(headers)
        if secret:
            digest = hash_key(secret)
            if digest in self._master:
                return OPERATOR
            if caller := self._look_up(digest, now) or await self._look_again(digest, now):
                return caller
        if self._seen < 0 and not self._master:
            raise UNKNOWN_YET
        if not self._master and not self._documents["key"]:
            if not _is_local(headers):
                raise NOT_LOCAL
            return OPERATOR
        raise WRONG_KEY if secret else NO_KEY

    def is_operator(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the request carries the master key."""
        return hash_key(read_secret(headers)) in self._master

    def find_owner(self, key_id: str) -> Caller | None:
        """Whose key this is, for what is done later in its name; None where it is blocked or gone."""
        digests = self._secrets.get(key_id)
        return self._holders[digests[0]].caller if digests else None

    def find_user_limits(self, name: str) -> Limits | None:
        """Of a user that is known, whoever's key it calls with."""
        user = self._documents["user"].get(name)
        return None if user is None else read_limits(user)

    async def refresh(self) -> bool:
        """Read what was changed; whether anything was. Raises RecordsAwayError.

        Who comes while one reads is content with the next: however many wrong keys are tried, they wait for two.
        """
        begun = self._begun
        async with self._reading:
            if self._read > begun:
                return False
            self._begun = number = self._begun + 1
            records = await self._records.read_since(self._seen)
            self._read = number
            last = max((record.revision for record in records), default=max(self._seen, 0))
            if last < self._seen:  # the records are others, such as those of a backup
                self._forget()
            for record in records:
                self._note(record)
            self._seen = last
        return bool(records)

    def _forget(self) -> None:
        self._documents = {"key": {}, "team": {}, "user": {}}
        self._holders, self._secrets = {}, {}

    def _look_up(self, digest: bytes, now: float) -> Caller | None:
        holder = self._holders.get(digest)
        if holder is None or (holder.until is not None and now >= holder.until):
            return None
        expires_at = holder.caller.expires_at
        return holder.caller if expires_at is None or now < expires_at else None

    async def _look_again(self, digest: bytes, now: float) -> Caller | None:
        """A key may have been made a moment ago, by another worker."""
        try:
            await self.refresh()
        except RecordsAwayError as error:
            raise UNKNOWN_YET from error
        return self._look_up(digest, now)

    def _note(self, record: Record) -> None:
        known = self._documents[record.kind]
        if record.document is None:
            known.pop(record.id, None)
        else:
            known[record.id] = record.document
        keys = self._documents["key"]
        if record.kind == "key":
            self._rebuild(record.id)
            return
        for key_id in [key_id for key_id, key in keys.items() if key[record.kind] == record.id]:
            self._rebuild(key_id)

    def _rebuild(self, key_id: str) -> None:
        for digest in self._secrets.pop(key_id, ()):
            self._holders.pop(digest, None)
        key = self._documents["key"].get(key_id)
        if key is None:
            return
        team = self._documents["team"].get(key["team"], NOTHING)
        user = self._documents["user"].get(key["user"], NOTHING)
        if is_blocked(key, team, user):
            return
        caller = read_caller(key_id, key, team, user, self._groups)
        found = {bytes.fromhex(key["hash"]): Holder(caller)}
        if former := key.get("former"):
            found[bytes.fromhex(former["hash"])] = Holder(caller, former["until"])
        self._holders |= found
        self._secrets[key_id] = list(found)


def read_secret(headers: Mapping[bytes, bytes]) -> bytes:
    """The key a request carries, or nothing."""
    given = headers.get(b"authorization", b"")
    if given[:7].lower() == b"bearer ":
        return given[7:].strip()
    return next((headers[name] for name in HEADERS if name in headers), b"")


def hash_key(secret: bytes) -> bytes:
    # A key is 32 random bytes, so one round of SHA-256 is enough: there is no dictionary to try. What is compared is
    # the digest, so the time it takes tells nothing of the key.
    return hashlib.sha256(secret).digest()


def _is_local(headers: Mapping[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1")
    return is_for_this_machine(host, None if origin is None else origin.decode("latin-1"))
