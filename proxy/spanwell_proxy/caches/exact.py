"""The exact cache: the same request of the same key gets the same answer, for a while. Two places to keep it in."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import orjson

from spanwell.config import Config
from spanwell.conventions import HEADER_CACHE
from spanwell.errors import ConfigError
from spanwell.pricing import write_usd
from spanwell_proxy.body import FORBIDDEN
from spanwell_proxy.call import Call

LONGEST_ANSWER_BYTES = 1024 * 1024
# How an answer is delivered and who asked do not change it; the tenant is part of the key by its own name.
MEANINGLESS = FORBIDDEN | {"stream", "stream_options", "user", "metadata", "store", "safety_identifier"}
KEYS = ("enabled", "ttl_seconds", "max_mb")


@dataclass(frozen=True)
class CacheSettings:
    """How long an answer is good for, and how much is kept."""

    ttl_s: float = 600.0
    max_bytes: int = 256 * 1024 * 1024


class Store(Protocol):
    """Where answers are kept. A store that is away is a store that holds nothing: it raises no errors."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def put(self, key: bytes, answer: bytes) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Cache:
    """A store, and the calls under way that will fill it: others that ask the same wait for them."""

    store: Store
    flights: dict[bytes, asyncio.Future[None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A stored answer, which deployment gave it and what it cost."""

    deployment: str
    cost_usd: Decimal | None
    body: bytes


def read_cache_settings(config: Config) -> CacheSettings | None:
    """None where the cache is off: without a `cache` section it is. Raises ConfigError."""
    section, where = config.cache, f"{config.source}: cache"
    unknown = [key for key in section if key not in KEYS]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(KEYS)}")
    if not isinstance(section.get("enabled", True), bool):
        raise ConfigError(f"{where}.enabled: write true or false")
    ttl_s, max_mb = section.get("ttl_seconds", 600), section.get("max_mb", 256)
    for key, value in (("ttl_seconds", ttl_s), ("max_mb", max_mb)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigError(f"{where}.{key}: write a number above nought")
    if not section or not section.get("enabled", True):
        return None
    return CacheSettings(float(ttl_s), int(max_mb * 1024 * 1024))


def cache_key(api: str, tenant: str, request: Mapping[str, Any]) -> bytes:
    """A digest of everything that may change the answer, with keys in order."""
    meaning = {key: value for key, value in request.items() if key not in MEANINGLESS}
    canonical = orjson.dumps([api, tenant, meaning], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=32).digest()


def is_cacheable(call: Call) -> bool:
    """Whether the call may be answered from the cache, and its answer kept."""
    if call.headers.get(HEADER_CACHE.encode()) == b"no-store":
        return False
    return call.api.is_cacheable is not None and call.api.is_cacheable(call.request)


def read_entry(stored: bytes) -> Entry:
    head, _, body = stored.partition(b"\n")
    facts = orjson.loads(head)
    cost = facts["cost_usd"]
    return Entry(facts["deployment"], None if cost is None else Decimal(cost), body)


def write_entry(call: Call) -> bytes | None:
    """What to store of a finished call; None where its answer is not whole, or too large."""
    answer = call.document or (call.reader.document() if call.reader and call.reader.is_replayable() else None)
    if call.failure or not answer or not call.deployment or call.usage_estimated:
        return None
    if not all(reason in call.api.whole_reasons for reason in call.api.reasons(answer)):
        return None
    cost = None if call.cost_usd is None else write_usd(call.cost_usd)
    head = orjson.dumps({"deployment": call.deployment.id, "cost_usd": cost})
    stored = head + b"\n" + (call.answer or orjson.dumps(answer))
    return stored if len(stored) <= LONGEST_ANSWER_BYTES else None
