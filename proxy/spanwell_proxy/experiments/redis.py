"""Experiments in Redis, shared by several hosts."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spanwell_proxy.experiments.store import Counts, Observation, Shared, StoreAwayError
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import State

PREFIX: Final = "spanwell:experiments:"
STATES: Final = PREFIX + "states"
FORGET_S: Final = 90 * 86400
TIMEOUT_S: Final = 2.0
DECIDE: Final = """
if ARGV[3] == '1' and (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class RedisTrials:
    """A hash of states; of each trial a hash of sums, and the set of its units."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._decide = self._redis.register_script(DECIDE)

    async def sync(self, observations: Sequence[Observation], trials: Sequence[str]) -> Shared:
        try:
            if observations:
                await self._add(observations)
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(STATES)
                for trial in trials:
                    pipe.hgetall(_sums(trial))
                states, *sums = await pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"the experiments cannot be read now: {error}") from error
        counts = {trial: _read_counts(found) for trial, found in zip(trials, sums, strict=True)}
        return Shared({name.decode(): State(*orjson.loads(told)) for name, told in states.items()}, counts)

    async def decide(self, name: str, state: State, *, only_if: State | None = None) -> bool:
        known = b"" if only_if is None or only_if == State() else orjson.dumps(list(only_if))
        try:
            done = await self._decide(
                keys=[STATES], args=[name, orjson.dumps(list(state)), int(only_if is not None), known]
            )
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"the experiments cannot be changed now: {error}") from error
        return bool(done)

    async def replace(self, trial: str, counts: Counts) -> None:
        fields: dict[Any, float] = {
            _field(arm, metric, part): value
            for (arm, metric), tally in counts.items()
            for part, value in tally._asdict().items()
        }
        try:
            if fields:
                await self._redis.hset(_sums(trial), mapping=fields)
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"the experiments cannot be changed now: {error}") from error

    async def close(self) -> None:
        await self._redis.aclose()

    async def _add(self, observations: Sequence[Observation]) -> None:
        asked = [one for one in observations if one.unit]
        async with self._redis.pipeline(transaction=False) as pipe:
            for one in asked:
                pipe.sadd(_units(one.trial), one.unit)
            fresh = iter(await pipe.execute())
        new = [one for one in observations if not one.unit or next(fresh)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for trial in {one.trial for one in new}:
                pipe.expire(_units(trial), FORGET_S)
                pipe.expire(_sums(trial), FORGET_S)
            for one in new:
                for metric, value in one.values:
                    pipe.hincrbyfloat(_sums(one.trial), _field(one.arm, metric, "size"), 1)
                    pipe.hincrbyfloat(_sums(one.trial), _field(one.arm, metric, "total"), value)
                    pipe.hincrbyfloat(_sums(one.trial), _field(one.arm, metric, "squares"), value * value)
            await pipe.execute()


def _sums(trial: str) -> str:
    return f"{PREFIX}sums:{trial}"


def _units(trial: str) -> str:
    return f"{PREFIX}units:{trial}"


def _field(arm: str, metric: str, part: str) -> str:
    return "\0".join((arm, metric, part))


def _read_counts(found: dict[bytes, Any]) -> Counts:
    parts: dict[tuple[str, str], dict[str, float]] = {}
    for name, value in found.items():
        arm, metric, part = name.decode().split("\0")
        parts.setdefault((arm, metric), {})[part] = float(value)
    return {
        key: Tally(int(one.get("size", 0)), one.get("total", 0.0), one.get("squares", 0.0))
        for key, one in parts.items()
    }
