"""Answers in Redis: shared by several hosts. Bounded like those in SQLite, oldest first."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.caches.shelf import Put

logger = logging.getLogger(__name__)

PREFIX: Final = "spanwell:cache:"
PURGES: Final = PREFIX + "purges"
BY_AGE: Final = PREFIX + "by_age"
TIMEOUT_S: Final = 0.5  # a cache that is slower than this is no help
OVERHEAD_BYTES: Final = 300  # of an answer in Redis, beside its bytes: its name three times

# One step, so that two hosts cannot both see room. The oldest that have expired are forgotten along the way.
PUT: Final = """
local answer, by_age, sizes, total = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local size = #ARGV[1] + tonumber(ARGV[5])
redis.call('SET', answer, ARGV[1], 'PX', ARGV[2])
local used = redis.call('INCRBY', total, size - (tonumber(redis.call('HGET', sizes, answer)) or 0))
redis.call('HSET', sizes, answer, size)
redis.call('ZADD', by_age, ARGV[3], answer)
local gone = 0
while true do
  local oldest = redis.call('ZRANGE', by_age, 0, 0)[1]
  if not oldest then break end
  if used <= tonumber(ARGV[4]) and (gone >= 10 or redis.call('EXISTS', oldest) == 1) then break end
  gone = gone + 1
  redis.call('ZREM', by_age, oldest)
  used = redis.call('INCRBY', total, -(tonumber(redis.call('HGET', sizes, oldest)) or 0))
  redis.call('HDEL', sizes, oldest)
  redis.call('DEL', oldest)
end
"""


class RedisStore:
    """Answers under a prefix; an index by age, and their sizes, beside them."""

    def __init__(self, url: str, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._put = self._redis.register_script(PUT)
        self._is_away = False  # until a look at what was purged finds it again: no call waits to find out

    async def get(self, key: bytes) -> bytes | None:
        if self._is_away:
            return None
        try:
            answer = await self._redis.get(PREFIX + key.hex())
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        return answer if isinstance(answer, bytes) else None

    async def put_many(self, puts: Iterable[Put]) -> None:
        if self._is_away:
            return
        now, bounds = time.time(), (self._max_bytes, OVERHEAD_BYTES)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for order, put in enumerate(puts):
                    names = [PREFIX + put.key.hex(), BY_AGE, PREFIX + "sizes", PREFIX + "total"]
                    ttl_ms = max(1, int((put.expires_at - now) * 1000))
                    age = now + order * 1e-6  # those of one write keep their order
                    await self._put(keys=names, args=[put.answer, ttl_ms, age, *bounds], client=pipeline)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._leave_alone(error)

    async def purge(self, what: str, at: float) -> bool:
        try:
            async with self._redis.pipeline() as pipeline:
                if what == "all":
                    pipeline.delete(PURGES)
                pipeline.hset(PURGES, what, str(at))
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return False
        return True

    async def catch_up(self) -> Mapping[str, float] | None:
        try:
            found = await self._redis.hgetall(PURGES)
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        self._is_away = False
        return {what.decode(): float(at) for what, at in found.items() if isinstance(what, bytes)}

    async def count(self) -> int:
        try:
            return int(await self._redis.zcard(BY_AGE))
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return 0

    async def close(self) -> None:
        await self._redis.aclose()

    def _leave_alone(self, error: Exception) -> None:
        if not self._is_away:
            logger.warning("Redis is away, calls go on without the cache: %s", type(error).__name__)
        self._is_away = True
