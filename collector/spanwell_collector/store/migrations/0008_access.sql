-- Who may come in, what was changed about it, and what is known of the store's own keeping.

-- Of a key only the hash of its secret. The row with the highest version is the key as it is now.
CREATE TABLE spanwell.access_tokens
(
    id      String,
    name    String,
    digest  String,
    role    LowCardinality(String),
    project String,
    created DateTime64(3, 'UTC'),
    expires Nullable(DateTime64(3, 'UTC')),
    blocked Bool,
    deleted Bool,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id;

CREATE TABLE spanwell.access_audit
(
    ts     DateTime64(3, 'UTC'),
    actor  String,
    action LowCardinality(String),
    target String,
    detail String
)
ENGINE = MergeTree
ORDER BY ts
TTL toDateTime(ts) + INTERVAL 2 YEAR;

-- How long each table keeps its rows, as it was last applied.
CREATE TABLE spanwell.retention
(
    table_name String,
    rule       String,
    ts         DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (table_name, ts);
