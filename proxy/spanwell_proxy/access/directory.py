"""Makes and changes keys, teams and users. Every change is checked against the actor's role, and is audited."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from spanwell_proxy.access.documents import hide_secrets
from spanwell_proxy.access.keys import hash_key
from spanwell_proxy.access.records import Change, Document, Kind, Records, TakenError
from spanwell_proxy.access.roles import Action, may
from spanwell_proxy.caller import Caller
from spanwell_proxy.failures import ApiError

TRIES = 5
Edit = Callable[[Document], Document | None]


class Directory:
    """All methods raise ApiError: 403 where the role does not allow it, 404, 409; and RecordsAwayError."""

    def __init__(self, records: Records, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock

    async def make_key(self, actor: Caller, document: Document, secret: str = "") -> tuple[str, str]:
        """Store a key: its (id, secret). The secret is seen this once; one that exists elsewhere can be given."""
        key_id, secret = "key_" + secrets.token_hex(8), secret or make_secret()
        digest = hash_key(secret.encode()).hex()
        await self.make(actor, "key", key_id, document | {"hash": digest, "former": None}, (digest,))
        return key_id, secret

    async def make(
        self, actor: Caller, kind: Kind, name: str, document: Document, digests: tuple[str, ...] = ()
    ) -> None:
        """Store a new one."""
        document = document | {"blocked": False, "created_at": self._clock()}
        _require(actor, "create", kind, name, document)
        change = Change(kind, name, document, 0, self._entry(actor, "create", kind, name, None, document), digests)
        try:
            if await self._records.write(change):
                return
        except TakenError as error:
            raise ApiError(409, "key_exists", "this key exists already") from error
        raise ApiError(409, f"{kind}_exists", f"there is a {kind} {name!r} already")

    async def change(self, actor: Caller, action: Action, kind: Kind, name: str, edit: Edit) -> Document:
        """Put what `edit` makes of the document in its place; None deletes it. Returns it as it may be shown."""
        for _ in range(TRIES):
            record = await self._records.read(kind, name)
            if record is None or record.document is None or not may(actor, "read", kind, name, record.document):
                raise _missing(kind, name)
            before, after = record.document, edit(record.document)
            for document in (before, after):
                _require(actor, action, kind, name, before if document is None else document)
            entry = self._entry(actor, action, kind, name, before, after)
            digests = _digests(after)
            if await self._records.write(Change(kind, name, after, record.revision, entry, digests)):
                return hide_secrets(before if after is None else after) or {}
        raise ApiError(409, "changed_meanwhile", f"others are changing the {kind} {name!r}; try again")

    async def rotate(self, actor: Caller, key_id: str, grace_s: float) -> str:
        """Give a key another secret. The old one is good for `grace_s` more seconds."""
        secret = make_secret()
        digest, until = hash_key(secret.encode()).hex(), self._clock() + grace_s

        def edit(key: Document) -> Document:
            former = {"hash": key["hash"], "until": until} if grace_s else None
            return key | {"hash": digest, "former": former}

        await self.change(actor, "rotate", "key", key_id, edit)
        return secret

    async def read(self, actor: Caller, kind: Kind, name: str) -> Document:
        """One, without its hashes. What an actor may not see is not there."""
        record = await self._records.read(kind, name)
        if record is None or record.document is None or not may(actor, "read", kind, name, record.document):
            raise _missing(kind, name)
        return hide_secrets(record.document) or {}

    async def read_all(self, actor: Caller, kind: Kind) -> list[tuple[str, Document]]:
        """All that the actor may see, oldest first."""
        found = [
            (record.id, hide_secrets(record.document) or {})
            for record in await self._records.read_since(-1)
            if record.kind == kind and record.document and may(actor, "read", kind, record.id, record.document)
        ]
        return sorted(found, key=lambda one: (one[1]["created_at"], one[0]))

    async def read_audit(self, most: int, before: int) -> list[Document]:
        return await self._records.read_audit(most, before)

    async def note(
        self, actor: Caller, action: str, kind: str, name: str, before: Document | None, after: Document | None
    ) -> None:
        """Add to the audit log what was done to something that is kept elsewhere."""
        await self._records.note(self._entry(actor, action, kind, name, before, after))

    def _entry(
        self, actor: Caller, action: str, kind: str, name: str, before: Document | None, after: Document | None
    ) -> dict[str, Any]:
        return {
            "at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "who": actor.key_id or "master_key",
            "user": actor.user,
            "action": action,
            "kind": kind,
            "id": name,
            "before": hide_secrets(before),
            "after": hide_secrets(after),
        }


def make_secret() -> str:
    return "sk-spanwell-" + secrets.token_urlsafe(32)


def _digests(document: Document | None) -> tuple[str, ...]:
    if document is None or "hash" not in document:
        return ()
    former = document.get("former")
    return (document["hash"], former["hash"]) if former else (document["hash"],)


def _require(actor: Caller, action: Action, kind: Kind, name: str, document: Document) -> None:
    if not may(actor, action, kind, name, document):
        raise ApiError(403, "not_allowed", f"the role {actor.role or 'none'!r} may not {action} the {kind} {name!r}")


def _missing(kind: Kind, name: str) -> ApiError:
    return ApiError(404, f"{kind}_not_found", f"there is no {kind} {name!r}")
