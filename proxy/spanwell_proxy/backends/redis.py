"""Backends in Redis, for several hosts."""

import json
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.backends.probe import Served
from spanwell_proxy.backends.store import STALE_S, Known, StoreAwayError, What

Result = TypeVar("Result")

TIMEOUT_S: Final = 2.0
PREFIX: Final = "{spanwell}:backends:"  # one slot of a cluster
ADDED, DRAINED, SERVED, CHANGES, DRAINING = (
    PREFIX + name for name in ("added", "drained", "served", "changes", "draining")
)
ADD: Final = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HINCRBY', KEYS[4], 'backends', 1)
"""
REMOVE: Final = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HINCRBY', KEYS[4], 'backends', 1)
"""
DRAIN: Final = """
redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', KEYS[2], ARGV[1])
return redis.call('HINCRBY', KEYS[4], 'backends', 1)
"""
NAMES: Final = (ADDED, DRAINED, SERVED, CHANGES)


class RedisBackends:
    """Everything under one prefix; each change is one script."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
        )
        self._add, self._remove, self._drain = (self._redis.register_script(text) for text in (ADD, REMOVE, DRAIN))

    async def close(self) -> None:
        await self._redis.aclose()

    async def count_changes(self, what: What) -> int:
        return int(await _ask(self._redis.hget(CHANGES, what)) or 0)

    async def list_known(self) -> list[Known]:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(ADDED)
            pipe.smembers(DRAINED)
            pipe.hgetall(SERVED)
            added, drained, served = await _ask(pipe.execute())
        return [
            Known(
                name,
                json.loads(added[name]) if name in added else None,
                name in drained,
                tuple(Served(*one) for one in json.loads(served.get(name, "[]"))),
            )
            for name in {*added, *drained, *served}
        ]

    async def add(self, name: str, document: Mapping[str, Any]) -> bool:
        return bool(await _ask(self._add(keys=NAMES, args=[name, json.dumps(document)])))

    async def remove(self, name: str) -> bool:
        return bool(await _ask(self._remove(keys=NAMES, args=[name])))

    async def drain(self, name: str, *, drained: bool) -> None:
        await _ask(self._drain(keys=NAMES, args=[name, int(drained)]))

    async def keep_served(self, name: str, served: Sequence[Served]) -> None:
        await _ask(self._redis.hset(SERVED, name, json.dumps(served)))

    async def ask_reload(self) -> None:
        await _ask(self._redis.hincrby(CHANGES, "configuration", 1))

    async def tell_draining(self, worker: str, calls: Mapping[str, int]) -> None:
        told = {json.dumps([name, worker]): json.dumps([count, time.time()]) for name, count in calls.items()}
        await _ask(self._redis.hset(DRAINING, mapping=cast(dict[Any, Any], told)))

    async def count_draining(self, worker: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for place, told in (await _ask(self._redis.hgetall(DRAINING))).items():
            (name, other), (count, told_at) = json.loads(place), json.loads(told)
            if other != worker and told_at > time.time() - STALE_S:
                counts[name] = counts.get(name, 0) + count
        return counts


async def _ask(question: Any) -> Any:
    """The client's types say that it may also answer at once: this one never does."""
    try:
        return await cast(Awaitable[Any], question)
    except (RedisError, OSError) as error:
        raise StoreAwayError(f"Redis is away: {type(error).__name__}") from error
