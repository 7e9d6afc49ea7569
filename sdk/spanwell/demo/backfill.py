"""Writes the history into the collector, once for each data directory, and goes on where it was interrupted."""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from spanwell.conventions import ENVIRONMENT, SERVICE_INSTANCE_ID, SERVICE_NAME, SIMULATED
from spanwell.demo.collector_client import CollectorClient
from spanwell.demo.history import Score, generate_history
from spanwell.demo.otlp import Producer, Span, encode_batch
from spanwell.demo.planted import SEED

BATCH_SPANS = 2000
BATCH_SCORES = 500
SCOPE = "spanwell.demo"

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Something to send: one OTLP request, or a list of scores."""

    body: bytes
    scores: list[Score]


@dataclass(frozen=True)
class Progress:
    """The marker file: the moment the history ends at, and how many of its batches have arrived."""

    now: str  # ISO 8601
    sent: int = 0
    done: bool = False


async def backfill(collector: CollectorClient, marker: Path) -> None:
    """Send what `marker` says is missing. The history depends on its moment alone, so an interrupted one is resumed."""
    progress = _read(marker)
    if progress.done:
        return
    started_s = time.monotonic()
    _write(marker, progress)
    batches = pack_batches(datetime.fromisoformat(progress.now))
    number = 0
    upcoming = _begin_next(batches)
    while (batch := await upcoming) is not None:
        upcoming = _begin_next(batches)  # made while this one is on its way
        number += 1
        if number <= progress.sent:
            continue
        if batch.scores:
            await collector.send_scores(batch.scores)
        else:
            await collector.send_batch(batch.body)
        _write(marker, Progress(progress.now, number))
    _write(marker, Progress(progress.now, number, done=True))
    logger.info("history of a day written: %d batches in %.1f s", number, time.monotonic() - started_s)


def _begin_next(batches: Iterator[Batch]) -> "asyncio.Task[Batch | None]":
    return asyncio.create_task(asyncio.to_thread(next, batches, None))


def pack_batches(now: datetime, seed: int = SEED) -> Iterator[Batch]:
    """The history as batches: each app's spans under its own resource, numbered for the ledger; scores at the end."""
    waiting: dict[str, list[Span]] = {}
    sent: dict[str, int] = {}
    scores: list[Score] = []
    for app, spans, judged in generate_history(now, seed):
        waiting.setdefault(app, []).extend(spans)
        scores += judged
        if len(waiting[app]) >= BATCH_SPANS:
            yield _encode(app, waiting.pop(app), sent)
    for app, spans in waiting.items():
        yield _encode(app, spans, sent)
    for first in range(0, len(scores), BATCH_SCORES):
        yield Batch(b"", scores[first : first + BATCH_SCORES])


def producer_of(app: str) -> Producer:
    """The resource of an app's past spans."""
    resource: dict[str, Any] = {SERVICE_NAME: app, SERVICE_INSTANCE_ID: f"{app}-history"}
    return Producer({**resource, ENVIRONMENT: "demo", SIMULATED: True}, SCOPE)


def _encode(app: str, spans: list[Span], sent: dict[str, int]) -> Batch:
    first = sent.get(app, 0)
    sent[app] = first + len(spans)
    return Batch(encode_batch(producer_of(app), spans, first), [])


def _read(marker: Path) -> Progress:
    if marker.exists():
        return Progress(**orjson.loads(marker.read_bytes()))
    return Progress(datetime.now(UTC).isoformat())


def _write(marker: Path, progress: Progress) -> None:
    fresh = marker.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(asdict(progress)))
    fresh.replace(marker)
