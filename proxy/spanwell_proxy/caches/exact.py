"""The exact cache: the same request gets the same answer, for a while."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from spanwell_proxy.body import FORBIDDEN
from spanwell_proxy.caches.entry import Entry
from spanwell_proxy.caches.settings import CacheSettings, Scope
from spanwell_proxy.caches.shelf import Shelf
from spanwell_proxy.call import Call
from spanwell_proxy.caller import Caller
from spanwell_proxy.routing.policy import Policy

# How an answer is delivered and who asked do not change it; what else counts of these is told by the realm.
MEANINGLESS: Final = FORBIDDEN | {"stream", "stream_options", "user", "metadata", "store", "safety_identifier", "cache"}
Realm = Sequence[Any]  # whose answers these are: whatever JSON can tell


class Meanings(Protocol):
    """The semantic cache, as the steps know it."""

    async def find(self, call: Call, realm: str) -> Entry | None:
        """The answer to a question that means the same."""

    def keep(self, call: Call, expires_at: float) -> None: ...

    def look_over(self, call: Call) -> None: ...

    def describe(self) -> dict[str, Any]: ...

    async def forget_verdicts(self, model: str) -> bool: ...


@dataclass(eq=False)
class Cache:
    """Kept answers, and the calls under way that will be: others that ask the same wait for them."""

    settings: CacheSettings
    shelf: Shelf
    meanings: Meanings | None = None
    flights: dict[bytes, list[asyncio.Future[None]]] = field(default_factory=dict)  # each with those that wait


def cache_key(api: str, realm: Realm, request: Mapping[str, Any]) -> bytes:
    """A digest of everything that may change the answer, with keys in order."""
    if not MEANINGLESS.isdisjoint(request):
        request = {key: value for key, value in request.items() if key not in MEANINGLESS}
    canonical = orjson.dumps((api, realm, request), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).digest()  # which processors know by themselves: twice as fast as BLAKE2


def find_realm(call: Call, scope: Scope, namespace: str, policy: Policy) -> Realm:
    """Whose answers a call may get: those of its tenant, to calls that could have gone where it can go.

    The model is the one asked for, which a path may name and not the body, and by which guards are found.
    """
    asked, api = call.asked, call.api
    is_stored = api.keeps_answers and call.request.get("store") is not False
    tenant = name_tenant(call.caller, "key" if is_stored else scope)  # who goes on with an answer has to own it
    told: list[Any] = [tenant, namespace, call.model, call.target, is_stored]
    if asked.assignment:
        told.append(asked.assignment.deployment)
    if call.guarded and call.guarded.placeholders:  # who writes one himself is not told what it stands for
        told.append(call.guarded.placeholders)
    if policy.narrows:
        told += [sorted(asked.tags) if policy.by_tags else (), asked.tier if policy.tiers else ""]
    if api.relay_headers:
        told.append(api.relay_headers(call.headers))
    return told


def name_realm(realm: Realm) -> str:
    """As text."""
    return orjson.dumps(realm, option=orjson.OPT_SORT_KEYS).decode()


def name_tenant(caller: Caller | None, scope: Scope) -> str:
    """Who shares an answer. A team's keys do where the scope is a team; a key without one shares with nobody."""
    key_id, team = (caller.key_id, caller.team) if caller else ("", "")
    return "" if scope == "all" else f"team {team}" if scope == "team" and team else f"key {key_id}"
