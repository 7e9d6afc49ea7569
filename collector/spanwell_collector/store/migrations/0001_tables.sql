-- What is stored. `spans` is public: a column may be added, none renamed or removed.

CREATE TABLE spanwell.spans
(
    project            LowCardinality(String),
    ts                 DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id           String CODEC(ZSTD(1)),
    span_id            String CODEC(ZSTD(1)),
    parent_span_id     String CODEC(ZSTD(1)),
    name               LowCardinality(String),
    operation          LowCardinality(String),
    kind               LowCardinality(String),
    status             LowCardinality(String),
    status_message     String CODEC(ZSTD(1)),
    error_type         LowCardinality(String),
    http_status        UInt16,
    service            LowCardinality(String),
    app                LowCardinality(String),
    environment        LowCardinality(String),
    provider           LowCardinality(String),
    model              LowCardinality(String),
    request_model      LowCardinality(String),
    deployment         LowCardinality(String),
    user_id            String CODEC(ZSTD(1)),
    session_id         String CODEC(ZSTD(1)),
    key_id             LowCardinality(String),
    team               LowCardinality(String),
    input_tokens       UInt32 CODEC(T64, ZSTD(1)),
    output_tokens      UInt32 CODEC(T64, ZSTD(1)),
    cached_tokens      UInt32 CODEC(T64, ZSTD(1)),
    cache_write_tokens UInt32 CODEC(T64, ZSTD(1)),
    reasoning_tokens   UInt32 CODEC(T64, ZSTD(1)),
    cost_usd           Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    saved_usd          Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    price_version      LowCardinality(String),
    ttft_ms            Nullable(Float64) CODEC(ZSTD(1)),
    duration_ms        Float64 CODEC(ZSTD(1)),
    stream             Bool,
    cache              LowCardinality(String),
    attempts           UInt16,
    finish_reason      LowCardinality(String),
    purpose            LowCardinality(String),
    simulated          Bool,
    scope              LowCardinality(String),
    attributes         Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource           Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    events             Array(Tuple(ts DateTime64(6, 'UTC'), name String, attributes Map(String, String))) CODEC(ZSTD(1)),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Prompts and outputs stand apart: they are twenty times as wide, live shorter, and few questions read them.
CREATE TABLE spanwell.texts
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id  String CODEC(ZSTD(1)),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3)),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a batch a producer exported: what it says it sent, and what arrived.
CREATE TABLE spanwell.ledger
(
    received DateTime64(3, 'UTC'),
    project  LowCardinality(String),
    service  LowCardinality(String),
    instance String,
    first    UInt64,
    sent     UInt64,
    stored   UInt64,
    dropped  UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, service, instance, first)
TTL toDateTime(received) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Digests of accepted batches: a sender that lost our answer sends the same bytes again, to this process or its successor.
CREATE TABLE spanwell.batches
(
    received DateTime64(3, 'UTC'),
    digest   UInt64
)
ENGINE = MergeTree
PARTITION BY toDate(received)
ORDER BY received
TTL toDateTime(received) + INTERVAL 2 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE TABLE spanwell.scores
(
    project      LowCardinality(String),
    ts           DateTime64(6, 'UTC'),
    trace_id     String CODEC(ZSTD(1)),
    span_id      String CODEC(ZSTD(1)),
    name         LowCardinality(String),
    source       LowCardinality(String),
    author       String,
    value        Float64,
    label        LowCardinality(String),
    comment      String CODEC(ZSTD(1)),
    rubric       LowCardinality(String),
    sample_share Float64,
    version      UInt64,
    INDEX by_ts ts TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (project, trace_id, span_id, name, source, author);

CREATE TABLE spanwell.drift_checks
(
    project            LowCardinality(String),
    ts                 DateTime64(6, 'UTC'),
    segment            String,
    window_start       DateTime64(6, 'UTC'),
    reference_start    DateTime64(6, 'UTC'),
    reference_end      DateTime64(6, 'UTC'),
    sessions_reference UInt32,
    sessions_current   UInt32,
    prompts_reference  UInt32,
    prompts_current    UInt32,
    statistic          Float64,
    p_value            Float64,
    alpha              Float64,
    drifted            Bool,
    terms              Array(String),
    examples           Array(String),
    version            UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (project, segment, ts);

CREATE TABLE spanwell.alert_events
(
    project     LowCardinality(String),
    ts          DateTime64(6, 'UTC'),
    rule        LowCardinality(String),
    fingerprint String,
    state       LowCardinality(String),
    severity    LowCardinality(String),
    value       Float64,
    threshold   Float64,
    labels      Map(String, String),
    summary     String,
    delivery    LowCardinality(String),
    receiver    LowCardinality(String),
    version     UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (project, ts, rule, fingerprint, state);
