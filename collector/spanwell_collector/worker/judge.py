"""Lets a model judge a sample of the answers, each once, and stores its verdicts as scores of their spans."""

import logging
import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from spanwell.errors import QueryError
from spanwell.masking import mask_secrets
from spanwell_collector.worker import verdicts
from spanwell_collector.worker.client import CollectorClient, Sample, Span, total_requests
from spanwell_collector.worker.gateway import RefusedError, complete
from spanwell_collector.worker.prompt import (
    REASON_CHARS,
    UnreadableError,
    Verdict,
    question_for,
    read_verdict,
    repair_for,
    response_format,
)
from spanwell_collector.worker.rubric import INVALID
from spanwell_collector.worker.schedule import Clock
from spanwell_collector.worker.sections import Judge
from spanwell_collector.worker.verdicts import VerdictKey

HOUR = timedelta(hours=1)
POST_BATCH = 100
SHARE_STEPS = 10_000  # traces are drawn by their hash modulo this
WRITTEN = {"operation": ["chat", "text_completion"]}  # calls whose answer is text
MOST_SAMPLES = 5_000
ANSWER_TOKENS = 512

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """What a judge works with: the doors to collector and proxy, its memory, the clock, and fresh nonces."""

    collector: CollectorClient
    proxy: httpx.AsyncClient
    database: sqlite3.Connection
    clock: Clock
    nonce: Callable[[], str]


async def judge_once(judge: Judge, bench: Bench) -> None:
    """Judge what the last hour holds and the hourly bound allows; a verdict is saved before it is posted."""
    await _post_scores(judge, bench)
    now = bench.clock()
    allowed = judge.section.max_per_hour - verdicts.count_since(bench.database, judge.section.name, now - HOUR)
    if allowed <= 0:
        return
    last_hour = Span(now - HOUR, now)
    requests = total_requests(await bench.collector.measure("requests", last_hour, WRITTEN, None))
    share = share_of(judge.section.sample, judge.section.max_per_hour, requests)
    samples = await bench.collector.samples(last_hour, WRITTEN, share, MOST_SAMPLES)
    fresh = [sample for sample in samples if not verdicts.is_judged(bench.database, _key(judge, sample))]
    for sample in fresh[:allowed]:
        verdict = await _verdict_on(sample, judge, bench)
        judged_at = bench.clock()
        score = score_of(verdict, sample, judge, share, judged_at)
        verdicts.save(bench.database, _key(judge, sample), judge.section.name, judged_at, score)
        await _post_scores(judge, bench)


def share_of(sample: float, max_per_hour: int, requests: int) -> float:
    """The share of the traffic that is judged: the configured one, or less where the hourly bound is tighter.

    It is stored with each score as the sample's chance to be drawn, so that rates over unequal shares can be weighted.
    """
    share = min(sample, max_per_hour / max(requests, 1))
    return max(1, math.floor(share * SHARE_STEPS)) / SHARE_STEPS


def score_of(verdict: Verdict, sample: Sample, judge: Judge, share: float, judged_at: datetime) -> dict[str, Any]:
    """The body of POST /scores."""
    return {
        "trace_id": sample.trace_id,
        "span_id": sample.span_id,
        "name": judge.section.name,
        "value": judge.rubric.value(verdict.label),
        "label": verdict.label,
        "comment": mask_secrets(verdict.reason),
        "source": "judge",
        "author": judge.section.model,
        "rubric": judge.rubric.version,
        "sample_share": share,
        "ts": judged_at.isoformat(),
    }


async def _verdict_on(sample: Sample, judge: Judge, bench: Bench) -> Verdict:
    """Ask once, and once more if the answer cannot be read; then the verdict is `invalid`, counted like any other."""
    asked = question_for(judge.rubric, sample.input, sample.output, bench.nonce())
    try:
        answer = await _ask(judge, bench, asked)
        try:
            return read_verdict(judge.rubric, answer)
        except UnreadableError as error:
            asked = repair_for(judge.rubric, asked, answer, str(error))
        return read_verdict(judge.rubric, await _ask(judge, bench, asked))
    except (UnreadableError, RefusedError) as error:
        logger.info("judge %s: no verdict on span %s: %s", judge.section.name, sample.span_id, error)
        return Verdict(INVALID, str(error)[:REASON_CHARS])


async def _ask(judge: Judge, bench: Bench, messages: list[dict[str, str]]) -> str:
    question = {
        "model": judge.section.model,
        "messages": messages,
        "response_format": response_format(judge.rubric),
        "max_completion_tokens": ANSWER_TOKENS,
    }
    if judge.section.temperature is not None:
        question["temperature"] = judge.section.temperature
    return await complete(bench.proxy, judge.api_key, question)


async def _post_scores(judge: Judge, bench: Bench) -> None:
    waiting = verdicts.unposted(bench.database, judge.section.name, POST_BATCH)
    for key, score in waiting:
        try:
            await bench.collector.store("/scores", score)
        except QueryError as error:  # it will never be taken, and must not hold up the others
            logger.error("judge %s: a score of span %s is not stored: %s", judge.section.name, key.span_id, error)
        verdicts.mark_posted(bench.database, key, bench.clock())


def _key(judge: Judge, sample: Sample) -> VerdictKey:
    return VerdictKey(judge.rubric.version, judge.section.model, sample.trace_id, sample.span_id)
