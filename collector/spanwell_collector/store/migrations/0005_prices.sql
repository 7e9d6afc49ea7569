-- What tokens cost, since when, by whose word. Nothing is overwritten: a row says what one source says of one model from
-- `valid_from` on, and a later `recorded` of the same moment replaces it. `spanwell.price_list` is what follows from it.

CREATE TABLE spanwell.prices
(
    provider   LowCardinality(String),
    model      String,
    source     LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    recorded   DateTime64(3, 'UTC') DEFAULT now64(3),
    withdrawn  Bool,
    version    LowCardinality(String),
    mode       LowCardinality(String),
    off_peak   Array(UInt8),
    cards      Array(Tuple(
        service_tier LowCardinality(String), from_tokens UInt64, rates Map(LowCardinality(String), Decimal(18, 12))))
)
ENGINE = MergeTree
ORDER BY (provider, model, source, valid_from, recorded);

-- Which text of each source was read last, and what it changed.
CREATE TABLE spanwell.price_updates
(
    source    LowCardinality(String),
    digest    String,
    models    UInt32,
    recorded  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (source, recorded);

-- What graphics processors cost that are paid by the hour: `busy_usd` is spread over the calls they served.
CREATE TABLE spanwell.gpu_hours
(
    project    LowCardinality(String),
    hour       DateTime('UTC'),
    deployment LowCardinality(String),
    model      LowCardinality(String),
    usd        Decimal(18, 12),
    busy_share Float64,
    samples    UInt32,
    busy_usd   Decimal(18, 12),
    idle_usd   Decimal(18, 12),
    calls      UInt64,
    tokens     UInt64,
    version    LowCardinality(String),
    computed   DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(computed)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, deployment, model, hour)
TTL hour + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1;
