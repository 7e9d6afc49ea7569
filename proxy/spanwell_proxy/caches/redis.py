"""The exact cache in Redis: shared by several hosts. Bounded like the one in SQLite, oldest first."""

import logging
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.caches.exact import CacheSettings

logger = logging.getLogger(__name__)

PREFIX = "spanwell:cache:"
TIMEOUT_S = 0.5  # a cache that is slower than this is no help
AWAY_S = 5.0  # how long an unreachable Redis is left alone

# One step, so that two hosts cannot both see room. An answer that has expired still counts until its turn comes.
PUT = """
local answer, by_age, sizes, total = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local size = #ARGV[1]
redis.call('SET', answer, ARGV[1], 'PX', ARGV[2])
local used = redis.call('INCRBY', total, size - (tonumber(redis.call('HGET', sizes, answer)) or 0))
redis.call('HSET', sizes, answer, size)
redis.call('ZADD', by_age, ARGV[3], answer)
while used > tonumber(ARGV[4]) do
  local oldest = redis.call('ZPOPMIN', by_age)[1]
  if not oldest then break end
  used = redis.call('INCRBY', total, -(tonumber(redis.call('HGET', sizes, oldest)) or 0))
  redis.call('HDEL', sizes, oldest)
  redis.call('DEL', oldest)
end
"""


class RedisStore:
    """Answers under a prefix; an index by age, and their sizes, beside them."""

    def __init__(self, url: str, settings: CacheSettings) -> None:
        self._settings = settings
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._put = self._redis.register_script(PUT)
        self._away_until = 0.0

    async def get(self, key: bytes) -> bytes | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            answer = await self._redis.get(PREFIX + key.hex())
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        return answer if isinstance(answer, bytes) else None

    async def put(self, key: bytes, answer: bytes) -> None:
        if time.monotonic() < self._away_until:
            return
        names = [PREFIX + key.hex(), PREFIX + "by_age", PREFIX + "sizes", PREFIX + "total"]
        ttl_ms, bound = int(self._settings.ttl_s * 1000), self._settings.max_bytes
        try:
            await self._put(keys=names, args=[answer, ttl_ms, time.time(), bound])
        except (RedisError, OSError) as error:
            self._leave_alone(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _leave_alone(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AWAY_S
        logger.warning("Redis is away, calls go on without the cache: %s", type(error).__name__)
