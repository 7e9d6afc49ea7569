"""Sends OTLP requests and notes how long each acknowledgement took."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import aiohttp

HEADERS = {"Content-Type": "application/x-protobuf"}
RETRY_SECONDS = 0.2


class Sent(NamedTuple):
    """Seconds to each acknowledgement, and how often the receiver asked to wait."""

    ack_s: list[float]
    told_to_wait: int
    seconds: float

    def percentile_ms(self, percent: int) -> float:
        return statistics.quantiles(self.ack_s, n=100, method="inclusive")[percent - 1] * 1000


def send(url: str, requests: Iterable[bytes], *, connections: int, per_second: float = 0) -> Sent:
    """Send all; with `per_second`, requests start at that pace and no later because an earlier one is slow."""
    return asyncio.run(_send(url, iter(requests), connections, per_second))


async def _send(url: str, requests: Iterator[bytes], connections: int, per_second: float) -> Sent:
    numbered = zip(itertools.count(), requests, strict=False)
    ack_s: list[float] = []
    waits = itertools.count()
    begun = time.perf_counter()

    async def work(session: aiohttp.ClientSession) -> None:
        for number, body in numbered:
            due = begun + number / per_second if per_second else time.perf_counter()
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            while await _post(session, url, body) != 200:
                next(waits)
                await asyncio.sleep(RETRY_SECONDS)
            ack_s.append(time.perf_counter() - due)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        await asyncio.gather(*(work(session) for _ in range(connections)))
    return Sent(ack_s, next(waits), time.perf_counter() - begun)


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with session.post(url, data=body, headers=HEADERS) as reply:
        await reply.read()
        if reply.status not in (200, 429, 503):
            raise RuntimeError(f"{url} answered {reply.status}")
        return reply.status
