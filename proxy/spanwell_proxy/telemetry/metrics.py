"""Prometheus's metrics: their names, their labels, and the page that shows those of all workers together.

Labels are configured names alone, of models, deployments and devices: a client cannot make new ones.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from spanwell_proxy.pace import GAPS_S
from spanwell_proxy.telemetry.gpus import Gpu, open_nvml

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
REGISTRY: Final = CollectorRegistry()


class Sums(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts` are observations up to each bound, and beyond the last; `total` is their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


def _count(name: str, told: str, *labels: str) -> Counter:
    return Counter(name, told, labels, registry=REGISTRY)


def _show(name: str, told: str, *labels: str) -> Gauge:
    return Gauge(name, told, labels, registry=REGISTRY, multiprocess_mode="livesum")


def _time(name: str, told: str, bounds: Sequence[float]) -> Sums:
    return Sums(name, told, ["model"], registry=REGISTRY, buckets=bounds)


REQUESTS: Final = _count("llm_requests", "Calls, by the status the client got.", "model", "status")
LATENCY: Final = _time("llm_latency_seconds", "Time from request to the last byte.", SECONDS)
TTFT: Final = _time("llm_ttft_seconds", "Time to the first chunk of content of a stream.", SECONDS)
GAPS: Final = _time("llm_inter_token_latency_seconds", "Time between two chunks of content of a stream.", GAPS_S)
TOKENS: Final = _count("llm_tokens", "Tokens as the backends report them.", "model", "type")
COST: Final = _count("llm_estimated_cost_dollars", "US dollars, at the configured prices.", "model")
CACHE_LOOKUPS: Final = _count("llm_cache_lookups", "Calls that were looked up in the cache.", "model")
CACHE_HITS: Final = _count("llm_cache_hits", "Calls that were answered from it.", "model")
ATTEMPTS: Final = _count("llm_attempts", "Requests to backends, by how they ended.", "deployment", "outcome")
UNAUTHORIZED: Final = _count("llm_unauthorized", "Requests without a valid key; they leave no span.")
IN_FLIGHT: Final = _show("llm_in_flight", "Calls not answered yet.")
WAITING: Final = _show("llm_queue_depth", "Calls that wait for room at a deployment.")
BUDGET_LEFT: Final = Gauge(
    "llm_budget_left_dollars",
    "What a budget still allows in its present window, as the worker knows that has seen most of it.",
    ["scope", "owner", "period"],
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
BREAKER: Final = Gauge(
    "llm_breaker_state",
    "0 closed, 1 half open, 2 open; of several workers the worst.",
    ["deployment"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
QUEUED: Final = _show("spanwell_telemetry_queued_spans", "Finished calls not encoded yet.")
DROPPED: Final = _count("spanwell_telemetry_dropped_spans", "Spans lost because queue or spool was full.")
SPOOLED: Final = _show("spanwell_telemetry_spool_bytes", "Bytes on disk for the collector.")
WORKERS: Final = _show("spanwell_proxy_workers", "Processes that serve.")
CPU: Final = _count("process_cpu_seconds", "User and system time of all workers.")
RESIDENT: Final = _show("process_resident_memory_bytes", "Memory of all workers.")


def render() -> bytes:
    """Every worker's metrics together, in Prometheus's text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    page = CollectorRegistry()
    page.register(_Page(registry))
    return generate_latest(page)


class _Page(Collector):
    """What a registry holds, what follows from it, and what the machine's GPUs do at this moment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        metrics = {metric.name: metric for metric in self._registry.collect()}
        yield from metrics.values()
        yield _hit_rate(metrics)
        if nvml := open_nvml():
            yield from _gpus(nvml.read())


def _hit_rate(metrics: Mapping[str, Metric]) -> Metric:
    rate = GaugeMetricFamily("llm_cache_hit_rate", "Hits of all lookups since the start.", labels=["model"])
    hits = _by_model(metrics.get("llm_cache_hits"))
    for model, lookups in _by_model(metrics.get("llm_cache_lookups")).items():
        rate.add_metric([model], hits.get(model, 0.0) / lookups)
    return rate


def _gpus(gpus: Sequence[Gpu]) -> Iterable[Metric]:
    use = GaugeMetricFamily("llm_gpu_utilization", "Share of the time in which a kernel ran, 0 to 1.", labels=["gpu"])
    memory = GaugeMetricFamily("llm_gpu_memory_bytes", "Memory of this machine's GPUs.", labels=["gpu", "kind"])
    for gpu in gpus:
        if gpu.use is not None:
            use.add_metric([str(gpu.number)], gpu.use)
        memory.add_metric([str(gpu.number), "used"], gpu.used_bytes)
        memory.add_metric([str(gpu.number), "total"], gpu.total_bytes)
    return use, memory


def _by_model(counter: Metric | None) -> dict[str, float]:
    samples = counter.samples if counter else []
    return {one.labels["model"]: one.value for one in samples if one.name.endswith("_total") and one.value}
