"""Adds finished calls up in plain numbers, and hands the sums to Prometheus's metrics now and then.

A metric takes a lock and looks its labels up: done for every call, that would be a tenth of all a call costs.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from spanwell.pricing import Usage
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.pace import GAPS_S
from spanwell_proxy.telemetry import metrics

NOTHING = Decimal(0)


def _buckets() -> list[int]:
    return [0] * (len(metrics.SECONDS) + 1)


@dataclass(slots=True)
class Sums:
    """Of one model since the last flush."""

    statuses: Counter[int] = field(default_factory=Counter)
    latency_s: float = 0.0
    latencies: list[int] = field(default_factory=_buckets)
    ttft_s: float = 0.0
    ttfts: list[int] = field(default_factory=_buckets)
    gap_s: float = 0.0
    gaps: list[int] = field(default_factory=lambda: [0] * (len(GAPS_S) + 1))
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: Decimal = NOTHING
    lookups: int = 0
    hits: int = 0


class Tally:
    """Only configured names become labels: a model is the one of the file, a wildcard where it was caught by one."""

    def __init__(self) -> None:
        self._models: dict[str, Sums] = {}
        self._attempts: Counter[tuple[str, str]] = Counter()

    def count(self, call: Call) -> None:
        """Add one finished call."""
        model = call.deployment.route if call.deployment else ""
        sums = self._models.get(model)
        if sums is None:
            sums = self._models[model] = Sums()
        sums.statuses[call.status or 499] += 1
        took_s = call.ended - call.started
        sums.latency_s += took_s
        sums.latencies[bisect_left(metrics.SECONDS, took_s)] += 1
        if call.ttft_s is not None:
            sums.ttft_s += call.ttft_s
            sums.ttfts[bisect_left(metrics.SECONDS, call.ttft_s)] += 1
        if call.pace:
            sums.gap_s += call.pace.total_s
            sums.gaps = [sum(pair) for pair in zip(sums.gaps, call.pace.counts, strict=True)]
        if call.cache:
            sums.lookups += 1
            sums.hits += call.cache == "hit"
        if call.usage and call.cache != "hit":
            _add_tokens(sums.tokens, call.usage)
        if call.cost_usd:
            sums.cost_usd += call.cost_usd
        for tried in call.attempts:
            self._attempts[tried.deployment.id, _outcome(tried)] += 1

    def flush(self) -> None:
        """Hand over what was added since the last time."""
        for model, sums in self._models.items():
            _flush_model(model, sums)
        self._models.clear()
        for (deployment, outcome), count in self._attempts.items():
            metrics.ATTEMPTS.labels(deployment, outcome).inc(count)
        self._attempts.clear()


def _add_tokens(tokens: Counter[str], usage: Usage) -> None:
    tokens["input"] += usage.input
    tokens["output"] += usage.output
    if usage.cached:
        tokens["cached"] += usage.cached
    if usage.cache_write:
        tokens["cache_write"] += usage.cache_write
    if usage.reasoning:
        tokens["reasoning"] += usage.reasoning


def _outcome(tried: Attempt) -> str:
    return tried.failure.kind if tried.failure else "ok" if tried.status else "called_off"


def _flush_model(model: str, sums: Sums) -> None:
    for status, count in sums.statuses.items():
        metrics.REQUESTS.labels(model, str(status)).inc(count)
    metrics.LATENCY.labels(model).add(sums.latencies, sums.latency_s)
    if any(sums.ttfts):
        metrics.TTFT.labels(model).add(sums.ttfts, sums.ttft_s)
    if any(sums.gaps):
        metrics.GAPS.labels(model).add(sums.gaps, sums.gap_s)
    for kind, count in sums.tokens.items():
        metrics.TOKENS.labels(model, kind).inc(count)
    if sums.cost_usd:
        metrics.COST.labels(model).inc(float(sums.cost_usd))
    if sums.lookups:
        metrics.CACHE_LOOKUPS.labels(model).inc(sums.lookups)
        metrics.CACHE_HITS.labels(model).inc(sums.hits)
