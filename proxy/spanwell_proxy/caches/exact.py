"""The exact cache: the same request gets the same answer, for a while."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from spanwell_proxy.body import FORBIDDEN
from spanwell_proxy.caches.entry import Entry
from spanwell_proxy.caches.settings import CacheSettings, Scope
from spanwell_proxy.caches.shelf import Shelf
from spanwell_proxy.call import Call
from spanwell_proxy.caller import Caller

# How an answer is delivered and who asked do not change it; the tenant is part of the key by its own name.
MEANINGLESS: Final = FORBIDDEN | {"stream", "stream_options", "user", "metadata", "store", "safety_identifier", "cache"}


class Meanings(Protocol):
    """The semantic cache, as the steps know it."""

    async def find(self, call: Call, tenant: str) -> Entry | None:
        """The answer to a question that means the same."""

    def keep(self, call: Call, expires_at: float) -> None: ...

    def look_over(self, call: Call) -> None: ...

    def describe(self) -> dict[str, Any]: ...

    async def forget_verdicts(self, model: str) -> None: ...


@dataclass(eq=False)
class Cache:
    """Kept answers, and the calls under way that will be: others that ask the same wait for them."""

    settings: CacheSettings
    shelf: Shelf
    meanings: Meanings | None = None
    flights: dict[bytes, asyncio.Future[None]] = field(default_factory=dict)


def cache_key(api: str, tenant: str, request: Mapping[str, Any]) -> bytes:
    """A digest of everything that may change the answer, with keys in order."""
    meaning = {key: value for key, value in request.items() if key not in MEANINGLESS}
    canonical = orjson.dumps([api, tenant, meaning], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=32).digest()


def name_tenant(caller: Caller | None, scope: Scope, namespace: str) -> str:
    """Who shares an answer. A team's keys do where the scope is a team; a key without one shares with nobody."""
    key_id, team = (caller.key_id, caller.team) if caller else ("", "")
    own = "" if scope == "all" else f"team {team}" if scope == "team" and team else f"key {key_id}"
    return f"{own}\n{namespace}"
