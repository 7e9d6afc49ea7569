"""Sends spans and scores to the collector, and tries again for as long as it is away."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import httpx

from spanwell.demo.otlp import Producer, Span, encode_batch
from spanwell.settings import Settings

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
MAX_WAITING: Final = 20_000  # spans of the simulated engine while the collector is away
FLUSH_S: Final = 0.5

logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """The collector will never take this; the message says why."""


class CollectorClient:
    """The two doors the demo needs: OTLP and POST /scores."""

    def __init__(self, settings: Settings) -> None:
        headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
        self._http = httpx.AsyncClient(base_url=settings.collector_url, headers=headers, timeout=30, trust_env=False)

    async def send_batch(self, body: bytes) -> None:
        """Post one gzipped OTLP request until it is taken. Raises RefusedError."""
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        await self._post("/v1/traces", content=body, headers=headers)

    async def send_scores(self, scores: Sequence[dict[str, Any]]) -> None:
        """Post scores until they are taken. Raises RefusedError."""
        await self._post("/api/v1/scores", json=list(scores))

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, path: str, **request: Any) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                response = await self._http.post(path, **request)
            except httpx.TransportError:
                status = 503
            else:
                status = response.status_code
                if status < 300:
                    return
                if status not in (408, 429) and status < 500:
                    raise RefusedError(f"{path}: {status} {response.text[:300]}")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


class SpanSender:
    """Collects the spans of one producer and sends them twice a second; what finds no room is counted as dropped."""

    def __init__(self, collector: CollectorClient, producer: Producer) -> None:
        self._collector = collector
        self._producer = producer
        self._waiting: deque[Span] = deque()
        self._first = 0
        self._dropped = 0

    def put(self, span: Span) -> None:
        """Take a span; never blocks."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(span)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits now."""
        if not self._waiting:
            return
        spans = list(self._waiting)
        body = encode_batch(self._producer, spans, self._first, self._dropped)
        try:
            await self._collector.send_batch(body)
        except RefusedError as error:
            logger.warning("spans refused: %s", error)
            self._dropped += len(spans)
        for _ in spans:
            self._waiting.popleft()
        self._first += len(spans)
