"""The shared state of limits in Redis, for several hosts: one script, one round trip a sync.

The script does what `limits.sqlite` does, and the same tests run on both. Its clock is Redis's own, so that hosts need
not agree on the time.
"""

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.limits.store import (
    ALIVE_S,
    HOURS_KEPT_S,
    REMEMBERED_S,
    Answer,
    Grant,
    Order,
    Spend,
    StoreAwayError,
)

logger = logging.getLogger(__name__)

PREFIX = "{spanwell}:limits:"  # one slot of a cluster
TIMEOUT_S = 1.0

# Numbers cross as text: Redis's own JSON writes 14 digits. Lua counts in doubles, exact to 9,007 dollars of picodollars
# and to a hundred-millionth of a cent at a million; what is booked is added by HINCRBY, which is exact.
SYNC = """
local prefix, worker, number = KEYS[1], ARGV[1], tonumber(ARGV[2])
local orders = cjson.decode(ARGV[3])
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local alive_s, remembered_s, hours_kept_s = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local alive, numbers = prefix .. 'alive', prefix .. 'numbers'
local function text(value) return string.format('%.0f', value) end

local seen = redis.call('HGET', numbers, worker)
local is_new = not seen or tonumber(seen) < number
redis.call('HSET', numbers, worker, text(number))
redis.call('ZADD', alive, string.format('%.3f', now + alive_s), worker)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', '(' .. string.format('%.3f', now - remembered_s))) do
  redis.call('ZREM', alive, dead)
  redis.call('HDEL', numbers, dead)
end
local workers = redis.call('ZCOUNT', alive, '(' .. string.format('%.3f', now), '+inf')

local function is_alive(name)
  local till = redis.call('ZSCORE', alive, name)
  return till and tonumber(till) > now
end

local function book(quota, spend)
  local used, window, began = prefix .. 'used:' .. quota, spend[1], spend[2]
  local amount = redis.call('HINCRBY', used, window .. ':' .. began, spend[3])
  if window == 'minute' then
    redis.call('EXPIRE', used, 180)
  elseif window == 'hour' and text(amount) == text(tonumber(spend[3])) then
    for hour = 1, 48 do
      redis.call('HDEL', used, 'hour:' .. text(tonumber(began) - hours_kept_s - hour * 3600))
    end
  end
end

local function last_minute(quota, began)
  local used, found, total = prefix .. 'used:' .. quota, {}, 0
  local fields = redis.call('HGETALL', used)
  for at = 1, #fields, 2 do
    local second = tonumber(string.sub(fields[at], 8))
    if second < began - 60 then
      redis.call('HDEL', used, fields[at])
    elseif second >= began then
      total = total + tonumber(fields[at + 1])
      found[#found + 1] = {text(second), fields[at + 1]}
    end
  end
  return total, found
end

local function count(quota, bound)
  if bound[1] == 'minute' then return last_minute(quota, tonumber(bound[2])) end
  if bound[1] == 'now' then return 0, {} end
  return tonumber(redis.call('HGET', prefix .. 'used:' .. quota, bound[1] .. ':' .. bound[2]) or '0'), {}
end

local grants = {}
for at, order in ipairs(orders) do
  local quota, reserved, free, need = order[1], tonumber(order[4]), tonumber(order[5]), tonumber(order[6])
  local first, since, extra = tonumber(order[7]), tonumber(order[8]), tonumber(order[9])
  if is_new then
    for _, spend in ipairs(order[2]) do book(quota, spend) end
  end
  if #order[3] == 0 then
    grants[at] = {'0', {}, '0', 0, {}}
  else
    local leases = prefix .. 'leases:' .. quota
    local held, elsewhere, ahead, others_wait = 0, 0, 0, 0
    local fields = redis.call('HGETALL', leases)
    for index = 1, #fields, 2 do
      local name = fields[index]
      if name ~= worker then
        if is_alive(name) then
          local lease = cjson.decode(fields[index + 1])
          held, elsewhere = held + tonumber(lease[1]), elsewhere + tonumber(lease[2])
          if tonumber(lease[3]) > 0 then
            others_wait = 1
            local older = tonumber(lease[5])
            if older < since or (older == since and name < worker) then ahead = ahead + tonumber(lease[4]) end
          end
        else
          redis.call('HDEL', leases, name)
        end
      end
    end
    local room, used, recent = math.huge, {}, {}
    for index, bound in ipairs(order[3]) do
      local amount, found = count(quota, bound)
      used[index], recent = text(amount), found
      room = math.min(room, tonumber(bound[3]) - amount)
    end
    room = room - held
    if need == 0 then ahead = 0 end
    local kept = reserved + free
    local wanted, granted = kept + need, 0
    if room < wanted + ahead then
      granted = math.max(kept, math.min(wanted, room - ahead))
    else
      local spare = 0
      if others_wait == 0 then spare = math.floor((room - wanted) / (2 * workers)) end
      granted = wanted + math.min(extra, spare)
    end
    if granted == 0 and need == 0 then
      redis.call('HDEL', leases, worker)
      redis.call('HDEL', prefix .. 'holding:' .. worker, quota)
    else
      local lacks = math.max(0, wanted - granted)
      local lease = {text(granted), text(reserved), text(lacks), text(math.max(0, first - granted + kept)), order[8]}
      redis.call('HSET', leases, worker, cjson.encode(lease))
      redis.call('HSET', prefix .. 'holding:' .. worker, quota, '1')
      redis.call('EXPIRE', prefix .. 'holding:' .. worker, remembered_s)
    end
    if granted < wanted then
      redis.call('HSET', prefix .. 'waited_for', quota, string.format('%.3f', now + 2 * alive_s))
    end
    if granted >= wanted then recent = {} end
    grants[at] = {text(granted), used, text(elsewhere), others_wait, recent}
  end
end

local recalled = {}
local waited_for = workers > 1 and redis.call('HGETALL', prefix .. 'waited_for') or {}
for index = 1, #waited_for, 2 do
  local quota = waited_for[index]
  local fields, waits = redis.call('HGETALL', prefix .. 'leases:' .. quota), false
  local mine
  for lease_at = 1, #fields, 2 do
    local lease = cjson.decode(fields[lease_at + 1])
    if fields[lease_at] == worker then mine = lease
    elseif tonumber(lease[3]) > 0 and is_alive(fields[lease_at]) then waits = true end
  end
  if waits and mine and tonumber(mine[1]) > tonumber(mine[2]) then recalled[#recalled + 1] = quota end
  if tonumber(waited_for[index + 1]) < now then redis.call('HDEL', prefix .. 'waited_for', quota) end
end
return {string.format('%.6f', now), workers, grants, recalled}
"""

LEAVE = """
local prefix, worker = KEYS[1], ARGV[1]
for _, quota in ipairs(redis.call('HKEYS', prefix .. 'holding:' .. worker)) do
  redis.call('HDEL', prefix .. 'leases:' .. quota, worker)
end
redis.call('DEL', prefix .. 'holding:' .. worker)
redis.call('ZREM', prefix .. 'alive', worker)
"""


class RedisLimits:
    """State under one prefix. Several hosts that name the same Redis share their limits."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._sync = self._redis.register_script(SYNC)
        self._leave = self._redis.register_script(LEAVE)

    async def sync(self, worker: str, number: int, orders: Sequence[Order], now: float | None) -> Answer:
        given = orjson.dumps([_write(order) for order in orders])
        clock = "" if now is None else repr(now)
        arguments: list[str | int | float | bytes] = [worker, number, given, clock, ALIVE_S, REMEMBERED_S, HOURS_KEPT_S]
        answered = await self._ask(self._sync(keys=[PREFIX], args=arguments))
        at, workers, grants, recalled = answered
        return Answer(float(at), int(workers), tuple(map(_read, grants)), tuple(name.decode() for name in recalled))

    async def leave(self, worker: str) -> None:
        await self._ask(self._leave(keys=[PREFIX], args=[worker]))

    async def read_spent(self, quota: str) -> list[Spend]:
        fields = await self._ask(self._redis.hgetall(PREFIX + "used:" + quota))
        windows = ((*field.decode().split(":"), int(amount)) for field, amount in fields.items())
        return sorted((Spend(window, int(began), amount) for window, began, amount in windows), key=lambda one: one[1])

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(self, question: Any) -> Any:
        try:
            return await question
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"Redis is away: {type(error).__name__}") from error


def _write(order: Order) -> list[Any]:
    """Every number as text."""
    spends = [[window, str(began), str(amount)] for window, began, amount in order.spends]
    bounds = [[window, str(began), str(amount)] for window, began, amount in order.bounds]
    amounts = map(str, (order.reserved, order.free, order.need, order.first))
    return [order.quota, spends, bounds, *amounts, repr(order.since), str(order.extra)]


def _read(grant: Any) -> Grant:
    held, used, elsewhere, others_wait, recent = grant
    seconds = tuple((int(began), int(amount)) for began, amount in recent)
    return Grant(int(held), tuple(map(int, used)), int(elsewhere), bool(others_wait), seconds)
