-- What a call needs to be counted once, priced by the store and corrected later. From here on the views that fill the
-- tables are no migration: store/pipeline makes them anew whenever their text changes.

DROP VIEW spanwell.otlp_in_to_ledger;
DROP VIEW spanwell.otlp_in_to_batches;
DROP VIEW spanwell.otlp_spans_to_texts;
DROP VIEW spanwell.otlp_spans_to_spans;
DROP VIEW spanwell.otlp_in_to_otlp_spans;
DROP TABLE spanwell.otlp_spans;
DROP TABLE spanwell.otlp_in;

-- A correction is a lightweight UPDATE, which finds its rows by the number of their block.
ALTER TABLE spanwell.spans MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1;
ALTER TABLE spanwell.texts MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1;

ALTER TABLE spanwell.spans
    ADD COLUMN received DateTime64(3, 'UTC') DEFAULT toDateTime64(ts, 3, 'UTC') CODEC(Delta, ZSTD(1)) AFTER ts,
    ADD COLUMN dialect LowCardinality(String) AFTER scope,
    ADD COLUMN response_id String DEFAULT attributes['gen_ai.response.id'] CODEC(ZSTD(1)) AFTER request_model,
    ADD COLUMN duplicate_of String CODEC(ZSTD(1)) AFTER parent_span_id,
    ADD COLUMN usage Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)) AFTER reasoning_tokens,
    ADD COLUMN usage_basis LowCardinality(String) AFTER usage,
    ADD COLUMN service_tier LowCardinality(String) AFTER usage_basis,
    ADD COLUMN costs Map(LowCardinality(String), Decimal(18, 12)) CODEC(ZSTD(1)) AFTER cost_usd,
    ADD COLUMN cost_source LowCardinality(String) DEFAULT if(isNull(cost_usd), '', 'reported') AFTER costs,
    ADD COLUMN reported_cost_usd Nullable(Decimal(18, 12)) CODEC(ZSTD(1)) AFTER cost_source,
    ADD COLUMN first_cost_usd Nullable(Decimal(18, 12)) CODEC(ZSTD(1)) AFTER reported_cost_usd,
    ADD COLUMN release LowCardinality(String) AFTER environment,
    ADD COLUMN agent LowCardinality(String) AFTER release,
    ADD COLUMN tool LowCardinality(String) AFTER agent,
    ADD COLUMN prompt_name LowCardinality(String) AFTER tool,
    ADD COLUMN prompt_version LowCardinality(String) AFTER prompt_name,
    ADD COLUMN tags Array(LowCardinality(String)) CODEC(ZSTD(1)) AFTER purpose,
    ADD INDEX by_received received TYPE minmax GRANULARITY 1,
    ADD INDEX by_response response_id TYPE bloom_filter(0.01) GRANULARITY 1;

-- Where in time a trace lies, so that reading one opens one day and not all of them.
CREATE TABLE spanwell.trace_index
(
    trace_id String CODEC(ZSTD(1)),
    first_ts SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_ts  SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(first_ts)
ORDER BY trace_id
TTL toDateTime(first_ts) + INTERVAL 13 MONTH
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

INSERT INTO spanwell.trace_index SELECT trace_id, min(ts), max(ts) FROM spanwell.spans GROUP BY trace_id;

-- The ledger takes over the digests: one row a batch that was accepted, numbered by its producer or not.
ALTER TABLE spanwell.ledger
    ADD COLUMN digest UInt64 AFTER received,
    ADD COLUMN rejected UInt64 AFTER stored,
    ADD COLUMN last_ts DateTime64(6, 'UTC') DEFAULT toDateTime64(received, 6, 'UTC') AFTER dropped;
DROP TABLE spanwell.batches;
