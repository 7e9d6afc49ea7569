"""Calls that race at a budget's edge, through real processes of the gateway.

    .venv/bin/python -m tests.proxy.limits.race --calls 5000

Two workers on one port share SQLite, two gateways share Redis. What was spent never exceeds the budget, and while a
call more would have fitted none is refused.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from spanwell.health import free_port
from tests.proxy.backend import running_backend
from tests.proxy.gateway import ASK, COST_USD, MASTER_KEY, config, deployment
from tests.proxy.redis import running_redis
from tests.proxy.serving.test_process import COMMAND, environ, until_healthy

CALL = ASK | {"max_tokens": 30}
CALL_USD = Decimal(COST_USD)
MOST_USD = Decimal(len(httpx.Request("POST", "http://x", json=CALL).content)) * Decimal("1e-6") + 30 * Decimal("2e-6")
ADMIN = {"authorization": f"Bearer {MASTER_KEY}"}


@dataclass(frozen=True)
class Outcome:
    """What came of a race."""

    admitted: int
    refused: int
    others: int
    budget_usd: Decimal
    booked_usd: Decimal

    @property
    def overspent_usd(self) -> Decimal:
        return max(Decimal(0), self.admitted * CALL_USD - self.budget_usd)

    @property
    def false_refusals(self) -> int:
        """Calls that were refused though, all others having ended, there was room for what they might cost."""
        room = (self.budget_usd - self.admitted * CALL_USD - MOST_USD) / CALL_USD
        return min(self.refused, max(0, int(room // 1) + 1)) if room >= 0 else 0


@contextmanager
def running_with(data: Path, document: dict[str, Any], **settings: Any) -> Iterator[str]:
    """A gateway in processes of its own: its URL."""
    port = free_port()
    wanted, url = environ(data, document, proxy_port=port, **settings), f"http://127.0.0.1:{port}"
    with (data / "log").open("wb") as log, subprocess.Popen(COMMAND, env=wanted, stderr=log) as process:
        try:
            until_healthy(url)
            yield url
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def two_workers(folder: Path, backend_url: str) -> Iterator[list[str]]:
    """On one port and one SQLite file."""
    with running_with(folder, config(deployment(backend_url)), proxy_workers=2) as url:
        yield [url]


@contextmanager
def two_gateways(folder: Path, backend_url: str) -> Iterator[list[str]]:
    """Each in a process and with data of its own, on one Redis."""
    one, other = folder / "one", folder / "other"
    one.mkdir()
    other.mkdir()
    document = config(deployment(backend_url))
    with (
        running_redis(folder) as redis_url,
        running_with(one, document, redis_url=redis_url) as first,
        running_with(other, document, redis_url=redis_url) as second,
    ):
        yield [first, second]


async def race(urls: Sequence[str], calls: int, budget_usd: Decimal, at_once: int) -> Outcome:
    """`calls` of one key through all of `urls`, `at_once` at a time."""
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:
        wanted = {"budgets": [{"usd": str(budget_usd), "period": "total"}]}
        async with session.post(urls[0] + "/admin/keys", json=wanted, headers=ADMIN) as made:
            key: dict[str, str] = await made.json()

        async def call(url: str) -> int:
            headers = {"authorization": f"Bearer {key['key']}"}
            async with session.post(url + "/v1/chat/completions", json=CALL, headers=headers) as answer:
                await answer.read()
                return answer.status

        statuses = await asyncio.gather(*(call(urls[number % len(urls)]) for number in range(calls)))
        await asyncio.sleep(0.5)
        async with session.get(f"{urls[-1]}/admin/keys/{key['id']}/spend", headers=ADMIN) as answer:
            spend: dict[str, Any] = await answer.json()
    admitted, refused = statuses.count(200), statuses.count(429)
    booked = Decimal(spend["spent_usd"]["total"])
    return Outcome(admitted, refused, calls - admitted - refused, budget_usd, booked)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=200)
    options = parser.parse_args()
    failed = False
    for name, places in (("two workers on SQLite", two_workers), ("two gateways on Redis", two_gateways)):
        async with running_backend() as backend:
            with tempfile.TemporaryDirectory() as folder, places(Path(folder), backend.url) as urls:
                outcome = await race(urls, options.calls, options.calls * CALL_USD * Decimal("0.9"), options.at_once)
        failed |= outcome.overspent_usd > 0 or outcome.false_refusals > 0 or outcome.others > 0
        sys.stdout.write(
            f"{name}: {outcome.admitted} admitted, {outcome.refused} refused, {outcome.others} failed; overspent "
            f"{outcome.overspent_usd} USD, false refusals {outcome.false_refusals}, booked {outcome.booked_usd} of "
            f"{outcome.budget_usd} USD\n"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
