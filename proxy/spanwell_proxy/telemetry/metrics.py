"""Prometheus metrics, counted from finished calls behind the request path."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from spanwell_proxy.call import Call

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

REQUESTS = Counter("llm_requests", "Calls, by the status the client got.", ["model", "status"])
LATENCY = Histogram("llm_latency_seconds", "Time from request to the last byte.", ["model"], buckets=SECONDS)
TTFT = Histogram("llm_ttft_seconds", "Time to the first chunk of content of a stream.", ["model"], buckets=SECONDS)
TOKENS = Counter("llm_tokens", "Tokens as the backends report them.", ["model", "type"])
COST = Counter("llm_cost_dollars", "US dollars, at the configured prices.", ["model"])
CACHE_LOOKUPS = Counter("llm_cache_lookups", "Calls that were looked up in the cache.", ["model"])
CACHE_HITS = Counter("llm_cache_hits", "Calls that were answered from it.", ["model"])
UNAUTHORIZED = Counter("llm_unauthorized", "Requests without a valid key; they leave no span.")
IN_FLIGHT = Gauge("llm_in_flight", "Calls not answered yet.", multiprocess_mode="livesum")
QUEUED = Gauge("spanwell_telemetry_queued_spans", "Finished calls not encoded yet.", multiprocess_mode="livesum")
DROPPED = Counter("spanwell_telemetry_dropped_spans", "Spans lost because queue or spool was full.")
SPOOLED = Gauge("spanwell_telemetry_spool_bytes", "Bytes on disk for the collector.", multiprocess_mode="livesum")


def count_call(call: Call) -> None:
    """Add one finished call. Only configured names become labels: a client cannot make new ones."""
    model = call.deployment.route if call.deployment else ""
    REQUESTS.labels(model, str(call.status or 499)).inc()
    LATENCY.labels(model).observe(call.ended - call.started)
    if call.ttft_s is not None:
        TTFT.labels(model).observe(call.ttft_s)
    if call.usage and call.cache != "hit":
        TOKENS.labels(model, "input").inc(call.usage.input)
        TOKENS.labels(model, "output").inc(call.usage.output)
        TOKENS.labels(model, "cached").inc(call.usage.cached)
    if call.cost_usd:
        COST.labels(model).inc(float(call.cost_usd))
    if call.cache:
        CACHE_LOOKUPS.labels(model).inc()
    if call.cache == "hit":
        CACHE_HITS.labels(model).inc()


def render() -> bytes:
    """Every worker's metrics together, in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
