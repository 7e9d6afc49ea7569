"""Scrapes what the servers of models measure, and sends it to the collector. What is missed is not made up for."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from spanwell.errors import SpanwellError
from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.exposition import is_empty, read_exposition
from spanwell_collector.worker.schedule import Clock
from spanwell_collector.worker.sections import Backend

EVERY_SECONDS: Final = 15.0
FETCH_SECONDS: Final = 5.0  # in all, however slowly the answer drips
MOST_BYTES: Final = 8 << 20
WARN_AGAIN: Final = timedelta(minutes=1)
# Compressed, a small answer could become a large one.
HEADERS: Final = {"accept": "text/plain; version=0.0.4", "accept-encoding": "identity", "user-agent": "spanwell"}

logger = logging.getLogger(__name__)


class BackendError(SpanwellError):
    """A backend is away, or what it shows is nothing to store."""


@dataclass
class Scraper:
    """Scrapes one backend; `http` is backend_client's."""

    backend: Backend
    http: httpx.AsyncClient
    collector: CollectorClient
    clock: Clock
    warned: datetime | None = None

    async def scrape(self) -> None:
        """Never fails, so that a backend that comes back is seen at once: a failure is a warning, one a minute."""
        now = self.clock()
        try:
            await self._scrape(now)
        except SpanwellError as error:
            if self.warned is None or not timedelta() <= now - self.warned < WARN_AGAIN:
                self.warned = now
                logger.warning("no measurements of %s: %s", self.backend.instance, error)

    async def _scrape(self, now: datetime) -> None:
        text = await fetch(self.http, self.backend.url)
        request = await asyncio.to_thread(read_exposition, text, self.backend, int(now.timestamp() * 1e6) * 1000)
        if is_empty(request):
            raise BackendError("metrics_url shows nothing named vllm:*")
        await self.collector.send(request)


def backend_client() -> httpx.AsyncClient:
    """No redirects, no proxy from the environment, no cookies; servers close idle connections sooner than we scrape."""
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=FETCH_SECONDS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


async def fetch(http: httpx.AsyncClient, url: str) -> bytes:
    """What `url` answers to a GET. Raises BackendError."""
    try:
        async with asyncio.timeout(FETCH_SECONDS), http.stream("GET", url, headers=HEADERS) as response:
            return await _read(response)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # TimeoutError is an OSError
        raise BackendError(f"{type(error).__name__} {error}") from error


async def _read(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise BackendError(f"it answered {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BackendError("it answered compressed, which nobody asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MOST_BYTES:
            raise BackendError(f"it answered more than {MOST_BYTES} bytes")
    return bytes(content)
