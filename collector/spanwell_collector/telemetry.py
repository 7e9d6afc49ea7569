"""The collector's own numbers, for /metrics."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

BATCHES: Final = Counter("spanwell_batches", "OTLP requests, by how they ended.", ["outcome"], registry=REGISTRY)
RESENT_BATCHES: Final = Counter("spanwell_resent_batches", "Batches that were accepted before.", registry=REGISTRY)
ITEMS_ACCEPTED: Final = Counter(
    "spanwell_items_accepted",
    "Spans, log records and metrics that were answered with success.",
    ["signal"],
    registry=REGISTRY,
)
ITEMS_REJECTED: Final = Counter(
    "spanwell_items_rejected",
    "Spans and log records that were taken out of their request.",
    ["signal"],
    registry=REGISTRY,
)
ITEMS_LEFT_OUT: Final = Counter(
    "spanwell_items_left_out",
    "Log records and data points that are about no model, and are not kept.",
    ["signal"],
    registry=REGISTRY,
)
STORE_ERRORS: Final = Counter("spanwell_store_errors", "Inserts that have to be tried again.", registry=REGISTRY)
DEAD_RECORDS: Final = Counter("spanwell_dead_records", "Batches the engine refused for good.", registry=REGISTRY)
DAMAGED_BYTES: Final = Counter(
    "spanwell_damaged_bytes", "Bytes of the spool that held no whole record when it was opened.", registry=REGISTRY
)
SPOOL_BYTES: Final = Gauge(
    "spanwell_spool_bytes", "Bytes on disk that the engine does not hold yet.", registry=REGISTRY
)
INSERT_SECONDS: Final = Histogram("spanwell_insert_seconds", "Time to insert one segment.", registry=REGISTRY)
CUT: Final = Counter("spanwell_cut", "What of spans went beyond a bound and was not kept.", ["kind"], registry=REGISTRY)
