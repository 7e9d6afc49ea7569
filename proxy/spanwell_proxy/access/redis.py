"""Keys, teams, users and the audit log in Redis, for several hosts."""

from collections.abc import Awaitable
from typing import Any, TypeVar, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.access.records import Change, Document, Kind, Record, RecordsAwayError, TakenError

Result = TypeVar("Result")

PREFIX = "{spanwell}:access:"  # one slot of a cluster
TIMEOUT_S = 2.0
TAKEN = -1

# A member of `changed` is kind:id, its score the revision; a document that was deleted is the empty text.
WRITE = """
local documents, changed, secrets, audit = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, id, document, expected, entry = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local revision = 0
if (redis.call('HGET', documents, name) or '') ~= '' then revision = tonumber(redis.call('ZSCORE', changed, name)) end
if revision ~= expected then return 0 end
for at = 6, #ARGV do
  local owner = redis.call('HGET', secrets, ARGV[at])
  if owner and owner ~= id then return -1 end
end
if string.sub(name, 1, 4) == 'key:' then  -- a team may have the id of a key as its name
  for _, old in ipairs(redis.call('SMEMBERS', secrets .. ':' .. id)) do redis.call('HDEL', secrets, old) end
  redis.call('DEL', secrets .. ':' .. id)
end
for at = 6, #ARGV do
  redis.call('HSET', secrets, ARGV[at], id)
  redis.call('SADD', secrets .. ':' .. id, ARGV[at])
end
local last = redis.call('ZREVRANGE', changed, 0, 0, 'WITHSCORES')
redis.call('HSET', documents, name, document)
redis.call('ZADD', changed, (tonumber(last[2]) or 0) + 1, name)
redis.call('RPUSH', audit, entry)
return 1
"""
# A Redis that lost its data counts anew: what it has then is all there is.
READ_SINCE = """
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if (tonumber(last[2]) or 0) < tonumber(ARGV[1]) then ARGV[1] = '-1' end
local names = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES')
local found = {}
for at = 1, #names, 2 do
  found[#found + 1] = {names[at], names[at + 1], redis.call('HGET', KEYS[1], names[at])}
end
return found
"""
READ = "return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('ZSCORE', KEYS[2], ARGV[1])}"
NAMES = [PREFIX + name for name in ("documents", "changed", "secrets", "audit")]


class RedisRecords:
    """Everything under one prefix; each change is one script."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._write = self._redis.register_script(WRITE)
        self._read = self._redis.register_script(READ)
        self._read_since = self._redis.register_script(READ_SINCE)

    async def read_since(self, revision: int) -> list[Record]:
        found = await _ask(self._read_since(keys=NAMES, args=[revision]))
        return [_to_record(name.decode(), document, int(float(score))) for name, score, document in found]

    async def read(self, kind: Kind, name: str) -> Record | None:
        document, score = await _ask(self._read(keys=NAMES, args=[f"{kind}:{name}"]))
        return _to_record(f"{kind}:{name}", document, int(float(score))) if document else None

    async def write(self, change: Change) -> bool:
        document = b"" if change.document is None else orjson.dumps(change.document)
        name, entry = f"{change.kind}:{change.id}", orjson.dumps(change.entry)
        arguments: list[str | bytes | int] = [name, change.id, document, change.revision, entry, *change.secrets]
        said = await _ask(self._write(keys=NAMES, args=arguments))
        if said == TAKEN:
            raise TakenError
        return bool(said)

    async def note(self, entry: Document) -> None:
        await _ask(cast(Awaitable[Any], self._redis.rpush(NAMES[3], orjson.dumps(entry))))

    async def read_audit(self, most: int, before: int) -> list[Document]:
        count = await _ask(cast(Awaitable[Any], self._redis.llen(NAMES[3])))
        last = min(count, before - 1)
        first = max(0, last - most)
        if last <= first:
            return []
        entries = await _ask(cast(Awaitable[Any], self._redis.lrange(NAMES[3], first, last - 1)))
        numbered = [{"number": first + at + 1} | orjson.loads(entry) for at, entry in enumerate(entries)]
        return numbered[::-1]

    async def close(self) -> None:
        await self._redis.aclose()


async def _ask(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except (RedisError, OSError) as error:
        raise RecordsAwayError(f"Redis is away: {type(error).__name__}") from error


def _to_record(name: str, document: bytes, revision: int) -> Record:
    kind, _, own = name.partition(":")
    return Record(cast(Kind, kind), own, orjson.loads(document) if document else None, revision)
