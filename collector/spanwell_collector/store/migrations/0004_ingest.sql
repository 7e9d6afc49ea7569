-- What comes in beside spans: measurements, texts that stand in log events, and records that the engine refused.

CREATE TABLE spanwell.metrics
(
    project     LowCardinality(String),
    ts          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    name        LowCardinality(String),
    kind        LowCardinality(String),
    unit        LowCardinality(String),
    service     LowCardinality(String),
    instance    LowCardinality(String),
    labels      Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    series      UInt64 DEFAULT cityHash64(mapKeys(labels), mapValues(labels)) CODEC(ZSTD(1)),
    value       Float64 CODEC(Gorilla, ZSTD(1)),
    count       UInt64 CODEC(T64, ZSTD(1)),
    sum         Float64 CODEC(Gorilla, ZSTD(1)),
    bounds      Array(Float64) CODEC(ZSTD(1)),
    buckets     Array(UInt64) CODEC(ZSTD(1)),
    temporality LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (project, name, service, instance, series, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- 'event' is a text that a log event brought; a span's own texts come before it.
ALTER TABLE spanwell.texts ADD COLUMN source LowCardinality(String) AFTER span_id;

CREATE TABLE spanwell.dead_letters
(
    id       String,
    received DateTime64(3, 'UTC'),
    kind     LowCardinality(String),
    project  LowCardinality(String),
    reason   String,
    spans    UInt32,
    payload  String CODEC(ZSTD(3)),
    state    LowCardinality(String)
)
ENGINE = ReplacingMergeTree(received)
ORDER BY id
TTL toDateTime(received) + INTERVAL 90 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What an insert cut short has left is deleted by a patch, which finds its rows by the number of their block.
ALTER TABLE spanwell.ledger MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1;
ALTER TABLE spanwell.dead_letters MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1;
