-- Sums of whole hours and days of model calls. A period is summed anew when its spans change, under a higher version;
-- `rollups` says which versions are whole. Readers ask for one version, so that they see the old sums or the new ones.

CREATE TABLE spanwell.usage_hourly
(
    project            LowCardinality(String),
    hour               DateTime('UTC'),
    version            UInt64,
    app                LowCardinality(String),
    environment        LowCardinality(String),
    release            LowCardinality(String),
    provider           LowCardinality(String),
    model              LowCardinality(String),
    request_model      LowCardinality(String),
    operation          LowCardinality(String),
    status             LowCardinality(String),
    cache              LowCardinality(String),
    deployment         LowCardinality(String),
    key_id             LowCardinality(String),
    team               LowCardinality(String),
    requests           UInt64,
    errors             UInt64,
    unpriced           UInt64,
    cache_hits         UInt64,
    input_tokens       UInt64,
    output_tokens      UInt64,
    cached_tokens      UInt64,
    cache_write_tokens UInt64,
    reasoning_tokens   UInt64,
    cost_usd           Decimal(38, 12),
    costs              Map(LowCardinality(String), Decimal(38, 12)),
    saved_usd          Decimal(38, 12),
    generated_tokens   UInt64,
    generation_ms      Float64,
    duration           AggregateFunction(quantileTDigest, Float64),
    ttft               AggregateFunction(quantileTDigest, Float64),
    users              AggregateFunction(uniqCombined(14), String),
    sessions           AggregateFunction(uniqCombined(14), String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour, app, provider, model)
TTL hour + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE spanwell.usage_daily_users
(
    project       LowCardinality(String),
    day           DateTime('UTC'),
    version       UInt64,
    user_id       String,
    app           LowCardinality(String),
    model         LowCardinality(String),
    requests      UInt64,
    errors        UInt64,
    input_tokens  UInt64,
    output_tokens UInt64,
    cost_usd      Decimal(38, 12),
    saved_usd     Decimal(38, 12),
    last_ts       DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, user_id)
TTL day + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- One row a period and version. It is written when all of the version's sums are: from then on it counts.
CREATE TABLE spanwell.rollups
(
    name     LowCardinality(String),
    project  LowCardinality(String),
    period   DateTime('UTC'),
    version  UInt64,
    built_at DateTime64(3, 'UTC'),
    rows     UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (name, project, period, version)
TTL period + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Hours whose spans were corrected after they came: priced anew, found to be repeated, or forgotten.
CREATE TABLE spanwell.hours_changed
(
    project LowCardinality(String),
    hour    DateTime('UTC'),
    changed DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(changed)
ORDER BY (changed, project)
TTL toDateTime(changed) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
