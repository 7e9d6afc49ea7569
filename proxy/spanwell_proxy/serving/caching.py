"""Opens the caches of a worker: what they are kept in, and the semantic one where it is configured."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from spanwell_proxy.caches.exact import Cache
from spanwell_proxy.caches.redis import RedisStore
from spanwell_proxy.caches.semantic.settings import SemanticSettings
from spanwell_proxy.caches.settings import CacheSettings
from spanwell_proxy.caches.shelf import Shelf, Store
from spanwell_proxy.caches.sqlite import SqliteStore
from spanwell_proxy.orders import Answered, Order
from spanwell_proxy.plan import Plan

Ask = Callable[[Order], Awaitable[Answered]]


@dataclass(frozen=True)
class Caching:
    """A worker's cache, if it has one. `meanings` is its semantic part."""

    cache: Cache | None
    meanings: Any = None

    def list_jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside the calls."""
        return [part.run() for part in (self.cache and self.cache.shelf, self.meanings) if part]

    async def close(self) -> None:
        for part in (self.meanings, self.cache and self.cache.shelf):
            if part:
                await part.close()


def open_caching(plan: Plan, ask: Ask) -> Caching:
    """`ask` makes calls of the proxy's own. Raises ConfigError."""
    if plan.cache is None:
        return Caching(None)
    cache = Cache(plan.cache, Shelf(_open_store(plan, plan.cache), plan.cache.memory_bytes))
    if plan.semantic is None:
        return Caching(cache)
    cache.meanings = _open_meanings(plan, plan.semantic, cache.shelf, ask)
    return Caching(cache, cache.meanings)


def _open_store(plan: Plan, cache: CacheSettings) -> Store:
    if plan.settings.redis_url:
        return RedisStore(plan.settings.redis_url, cache.max_bytes)
    return SqliteStore(plan.settings.data / "proxy" / "cache.db", cache.max_bytes)


def _open_meanings(plan: Plan, semantic: SemanticSettings, shelf: Shelf, ask: Ask) -> Any:
    # numpy is 30 MB of every worker, and most have no use for it.
    opening = import_module("spanwell_proxy.caches.semantic.opening")
    folder, redis_url = plan.settings.data / "proxy", plan.settings.redis_url
    return opening.open_meanings(semantic, shelf, ask, folder=folder, redis_url=redis_url)
