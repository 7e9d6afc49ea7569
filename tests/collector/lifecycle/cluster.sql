CREATE DATABASE IF NOT EXISTS spanwell ON CLUSTER 'main' ENGINE = Atomic

CREATE TABLE IF NOT EXISTS spanwell.migrations_local ON CLUSTER 'main'
(
    number UInt32,
    name   String,
    digest String,
    state  LowCardinality(String),
    ts     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (number, ts)

CREATE TABLE IF NOT EXISTS spanwell.migrations ON CLUSTER 'main' AS spanwell.migrations_local ENGINE = Distributed('main', 'spanwell', 'migrations_local', cityHash64(number, ts))

CREATE TABLE IF NOT EXISTS spanwell.pipelines_local ON CLUSTER 'main'
(
    digest String,
    ts     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY ts

CREATE TABLE IF NOT EXISTS spanwell.pipelines ON CLUSTER 'main' AS spanwell.pipelines_local ENGINE = Distributed('main', 'spanwell', 'pipelines_local', cityHash64(ts))

CREATE TABLE spanwell.forgetting_local ON CLUSTER 'main'
(
    project  String,
    trace_id String,
    span_id  String,
    hour     DateTime64(0, 'UTC'),
    user_id  String,
    needle   String
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (trace_id, span_id)

CREATE TABLE spanwell.forgetting ON CLUSTER 'main' AS spanwell.forgetting_local ENGINE = Distributed('main', 'spanwell', 'forgetting_local', cityHash64(trace_id))

CREATE TABLE IF NOT EXISTS spanwell.copied_local ON CLUSTER 'main'
(
    table_name String,
    part       String,
    rows       UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (table_name, part)

CREATE TABLE IF NOT EXISTS spanwell.copied ON CLUSTER 'main' AS spanwell.copied_local ENGINE = Distributed('main', 'spanwell', 'copied_local', cityHash64(table_name, part))

CREATE TABLE spanwell.spans_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1

CREATE TABLE spanwell.spans ON CLUSTER 'main' AS spanwell.spans_local ENGINE = Distributed('main', 'spanwell', 'spans_local', cityHash64(trace_id))

CREATE TABLE spanwell.texts_local ON CLUSTER 'main'
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id  String CODEC(ZSTD(1)),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3)),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1

CREATE TABLE spanwell.texts ON CLUSTER 'main' AS spanwell.texts_local ENGINE = Distributed('main', 'spanwell', 'texts_local', cityHash64(trace_id))

CREATE TABLE spanwell.ledger_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(received)
ORDER BY (project, service, instance, first)
TTL toDateTime(received) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1

CREATE TABLE spanwell.ledger ON CLUSTER 'main' AS spanwell.ledger_local ENGINE = Distributed('main', 'spanwell', 'ledger_local', cityHash64(project, service, instance, first))

CREATE TABLE spanwell.batches_local ON CLUSTER 'main'
(
    received DateTime64(3, 'UTC'),
    digest   UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(received)
ORDER BY received
TTL toDateTime(received) + INTERVAL 2 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000

CREATE TABLE spanwell.batches ON CLUSTER 'main' AS spanwell.batches_local ENGINE = Distributed('main', 'spanwell', 'batches_local', cityHash64(received))

CREATE TABLE spanwell.scores_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)
ORDER BY (project, trace_id, span_id, name, source, author)

CREATE TABLE spanwell.scores ON CLUSTER 'main' AS spanwell.scores_local ENGINE = Distributed('main', 'spanwell', 'scores_local', cityHash64(trace_id))

CREATE TABLE spanwell.drift_checks_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)
ORDER BY (project, segment, ts)

CREATE TABLE spanwell.drift_checks ON CLUSTER 'main' AS spanwell.drift_checks_local ENGINE = Distributed('main', 'spanwell', 'drift_checks_local', cityHash64(project, segment, ts))

CREATE TABLE spanwell.alert_events_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)
ORDER BY (project, ts, rule, fingerprint, state)

CREATE TABLE spanwell.alert_events ON CLUSTER 'main' AS spanwell.alert_events_local ENGINE = Distributed('main', 'spanwell', 'alert_events_local', cityHash64(project, ts, rule, fingerprint, state))

CREATE TABLE spanwell.otlp_in ON CLUSTER 'main'
(
    default_project String,
    batch_digests Array(UInt64),
    resource_spans Array(Tuple(
        resource Tuple(
            attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                double_value Nullable(Float64), bytes_value Nullable(String))))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value Tuple(
                    string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                    double_value Nullable(Float64), bytes_value Nullable(String),
                    array_value Tuple(values Array(Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))),
                    kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))))))),
                events Array(Tuple(
                    time_unix_nano UInt64,
                    name String,
                    attributes Array(Tuple(key String, value Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))))),
                status Tuple(message String, code Int32)))))))
)
ENGINE = Null

CREATE TABLE spanwell.otlp_spans ON CLUSTER 'main'
(
    default_project String,
    ts              DateTime64(6, 'UTC'),
    trace_id        String,
    span_id         String,
    parent_span_id  String,
    name            String,
    kind            Int32,
    duration_ms     Float64,
    status_code     Int32,
    status_message  String,
    scope           String,
    tags            Map(String, String),  -- every attribute; what is left when the columns are filled is `attributes`
    resource        Map(String, String),
    events          Array(Tuple(ts DateTime64(6, 'UTC'), name String, attributes Map(String, String)))
)
ENGINE = Null

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_otlp_spans ON CLUSTER 'main' TO spanwell.otlp_spans AS
WITH
    (v -> coalesce(v.string_value, toString(v.int_value), toString(v.double_value), toString(v.bool_value), base64Encode(v.bytes_value), '')) AS plain,
    (v -> coalesce(toString(v.int_value), toString(v.double_value), toString(v.bool_value), toJSONString(coalesce(v.string_value, base64Encode(v.bytes_value), '')))) AS json
SELECT
    default_project,
    fromUnixTimestamp64Nano(toInt64(span.start_time_unix_nano), 'UTC') AS ts,
    lower(hex(span.trace_id)) AS trace_id,
    lower(hex(span.span_id)) AS span_id,
    if(length(span.parent_span_id) = 8 AND span.parent_span_id != unhex('0000000000000000'), lower(hex(span.parent_span_id)), '') AS parent_span_id,
    span.name AS name,
    span.kind AS kind,
    if(span.end_time_unix_nano > span.start_time_unix_nano, (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6, 0) AS duration_ms,
    span.status.code AS status_code,
    span.status.message AS status_message,
    scope,
    mapFromArrays(
        arrayMap(pair -> pair.key, span.attributes),
        arrayMap(pair -> multiIf(
            notEmpty(pair.value.array_value.values),
                concat('[', arrayStringConcat(arrayMap(v -> json(v), pair.value.array_value.values), ','), ']'),
            notEmpty(pair.value.kvlist_value.values),
                concat('{', arrayStringConcat(arrayMap(entry -> concat(toJSONString(entry.key), ':', json(entry.value)), pair.value.kvlist_value.values), ','), '}'),
            plain(pair.value)), span.attributes)) AS tags,
    resource,
    arrayMap(event -> (
        fromUnixTimestamp64Nano(toInt64(event.time_unix_nano), 'UTC'),
        event.name,
        mapFromArrays(arrayMap(pair -> pair.key, event.attributes), arrayMap(pair -> plain(pair.value), event.attributes))), span.events) AS events
FROM
(
    SELECT
        default_project,
        mapFromArrays(
            arrayMap(pair -> pair.key, in_resource.resource.attributes),
            arrayMap(pair -> plain(pair.value), in_resource.resource.attributes)) AS resource,
        in_scope.scope.name AS scope,
        span
    FROM spanwell.otlp_in
    ARRAY JOIN resource_spans AS in_resource
    ARRAY JOIN in_resource.scope_spans AS in_scope
    ARRAY JOIN in_scope.spans AS span
)
WHERE length(span.trace_id) = 16 AND span.trace_id != unhex('00000000000000000000000000000000')
  AND length(span.span_id) = 8 AND span.span_id != unhex('0000000000000000')
  AND span.start_time_unix_nano BETWEEN toUInt64(toUnixTimestamp(now() - INTERVAL 90 DAY)) * 1000000000
                                    AND toUInt64(toUnixTimestamp(now() + INTERVAL 1 DAY)) * 1000000000

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_spans ON CLUSTER 'main' TO spanwell.spans AS
SELECT
    multiIf(tags['spanwell.project'] != '', tags['spanwell.project'],
            resource['spanwell.project'] != '', resource['spanwell.project'],
            default_project) AS project,
    ts,
    trace_id,
    span_id,
    parent_span_id,
    name,
    tags['gen_ai.operation.name'] AS operation,
    transform(kind, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], '') AS kind,
    transform(status_code, [1, 2], ['ok', 'error'], 'unset') AS status,
    status_message,
    tags['error.type'] AS error_type,
    toUInt16OrZero(tags['http.response.status_code']) AS http_status,
    resource['service.name'] AS service,
    multiIf(tags['spanwell.app'] != '', tags['spanwell.app'],
            resource['spanwell.app'] != '', resource['spanwell.app'],
            resource['service.name']) AS app,
    if(resource['deployment.environment.name'] != '', resource['deployment.environment.name'], resource['deployment.environment']) AS environment,
    tags['gen_ai.provider.name'] AS provider,
    if(tags['gen_ai.response.model'] != '', tags['gen_ai.response.model'], tags['gen_ai.request.model']) AS model,
    tags['gen_ai.request.model'] AS request_model,
    tags['spanwell.deployment'] AS deployment,
    tags['user.id'] AS user_id,
    if(tags['session.id'] != '', tags['session.id'], tags['gen_ai.conversation.id']) AS session_id,
    tags['spanwell.key.id'] AS key_id,
    tags['spanwell.team'] AS team,
    toUInt32OrZero(tags['gen_ai.usage.input_tokens']) AS input_tokens,
    toUInt32OrZero(tags['gen_ai.usage.output_tokens']) AS output_tokens,
    toUInt32OrZero(tags['gen_ai.usage.cache_read.input_tokens']) AS cached_tokens,
    toUInt32OrZero(tags['gen_ai.usage.cache_write.input_tokens']) AS cache_write_tokens,
    toUInt32OrZero(tags['gen_ai.usage.reasoning.output_tokens']) AS reasoning_tokens,
    toDecimal64OrNull(tags['spanwell.cost_usd'], 12) AS cost_usd,
    toDecimal64OrNull(tags['spanwell.saved_usd'], 12) AS saved_usd,
    tags['spanwell.price_version'] AS price_version,
    toFloat64OrNull(tags['gen_ai.response.time_to_first_chunk']) * 1000 AS ttft_ms,
    duration_ms,
    tags['gen_ai.request.stream'] = 'true' AS stream,
    tags['spanwell.cache'] AS cache,
    toUInt16OrZero(tags['spanwell.attempts']) AS attempts,
    if(startsWith(tags['gen_ai.response.finish_reasons'], '['),
       JSONExtractString(tags['gen_ai.response.finish_reasons'], 1),
       tags['gen_ai.response.finish_reasons']) AS finish_reason,
    tags['spanwell.purpose'] AS purpose,
    tags['spanwell.simulated'] = 'true' OR resource['spanwell.simulated'] = 'true' AS simulated,
    scope,
    mapFilter((key, value) -> key NOT IN (
        'gen_ai.input.messages', 'gen_ai.output.messages', 'spanwell.input', 'spanwell.output',
        'spanwell.project', 'gen_ai.operation.name', 'error.type', 'http.response.status_code', 'spanwell.app',
        'gen_ai.provider.name', 'gen_ai.response.model', 'gen_ai.request.model', 'spanwell.deployment', 'user.id',
        'session.id', 'spanwell.key.id', 'spanwell.team', 'gen_ai.usage.input_tokens', 'gen_ai.usage.output_tokens',
        'gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_write.input_tokens',
        'gen_ai.usage.reasoning.output_tokens', 'spanwell.cost_usd', 'spanwell.saved_usd', 'spanwell.price_version',
        'gen_ai.response.time_to_first_chunk', 'gen_ai.request.stream', 'spanwell.cache', 'spanwell.attempts',
        'gen_ai.response.finish_reasons', 'spanwell.purpose', 'spanwell.simulated'), tags) AS attributes,
    resource,
    events
FROM spanwell.otlp_spans

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_texts ON CLUSTER 'main' TO spanwell.texts AS
SELECT
    multiIf(tags['spanwell.project'] != '', tags['spanwell.project'],
            resource['spanwell.project'] != '', resource['spanwell.project'],
            default_project) AS project,
    ts,
    trace_id,
    span_id,
    if(tags['gen_ai.input.messages'] != '', tags['gen_ai.input.messages'], tags['spanwell.input']) AS input,
    if(tags['gen_ai.output.messages'] != '', tags['gen_ai.output.messages'], tags['spanwell.output']) AS output
FROM spanwell.otlp_spans
WHERE input != '' OR output != ''

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_ledger ON CLUSTER 'main' TO spanwell.ledger AS
WITH
    (v -> coalesce(v.string_value, toString(v.int_value), toString(v.double_value), '')) AS plain,
    mapFromArrays(
        arrayMap(pair -> pair.key, batch.resource.attributes),
        arrayMap(pair -> plain(pair.value), batch.resource.attributes)) AS resource
SELECT
    now64(3) AS received,
    if(resource['spanwell.project'] != '', resource['spanwell.project'], default_project) AS project,
    resource['service.name'] AS service,
    resource['service.instance.id'] AS instance,
    toUInt64OrZero(resource['spanwell.batch.first']) AS first,
    toUInt64OrZero(resource['spanwell.batch.spans']) AS sent,
    arraySum(arrayMap(part -> arrayCount(span ->
        length(span.trace_id) = 16 AND span.trace_id != unhex('00000000000000000000000000000000')
        AND length(span.span_id) = 8 AND span.span_id != unhex('0000000000000000')
        AND span.start_time_unix_nano BETWEEN toUInt64(toUnixTimestamp(now() - INTERVAL 90 DAY)) * 1000000000
                                          AND toUInt64(toUnixTimestamp(now() + INTERVAL 1 DAY)) * 1000000000,
        part.spans), batch.scope_spans)) AS stored,
    toUInt64OrZero(resource['spanwell.batch.dropped']) AS dropped
FROM spanwell.otlp_in
ARRAY JOIN resource_spans AS batch
WHERE mapContains(resource, 'spanwell.batch.first')

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_batches ON CLUSTER 'main' TO spanwell.batches AS
SELECT now64(3) AS received, arrayJoin(batch_digests) AS digest
FROM spanwell.otlp_in

DROP VIEW spanwell.otlp_in_to_ledger ON CLUSTER 'main'

DROP VIEW spanwell.otlp_in_to_batches ON CLUSTER 'main'

DROP VIEW spanwell.otlp_spans_to_texts ON CLUSTER 'main'

DROP VIEW spanwell.otlp_spans_to_spans ON CLUSTER 'main'

DROP VIEW spanwell.otlp_in_to_otlp_spans ON CLUSTER 'main'

DROP TABLE IF EXISTS spanwell.otlp_spans ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.otlp_spans_local ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.otlp_in ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.otlp_in_local ON CLUSTER 'main' SYNC

ALTER TABLE spanwell.spans_local ON CLUSTER 'main' MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1

ALTER TABLE spanwell.texts_local ON CLUSTER 'main' MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1

ALTER TABLE spanwell.spans_local ON CLUSTER 'main' ADD COLUMN received DateTime64(3, 'UTC') DEFAULT toDateTime64(ts, 3, 'UTC') CODEC(Delta, ZSTD(1)) AFTER ts,
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
    ADD INDEX by_response response_id TYPE bloom_filter(0.01) GRANULARITY 1

ALTER TABLE spanwell.spans ON CLUSTER 'main' ADD COLUMN received DateTime64(3, 'UTC') DEFAULT toDateTime64(ts, 3, 'UTC') CODEC(Delta, ZSTD(1)) AFTER ts, ADD COLUMN dialect LowCardinality(String) AFTER scope, ADD COLUMN response_id String DEFAULT attributes['gen_ai.response.id'] CODEC(ZSTD(1)) AFTER request_model, ADD COLUMN duplicate_of String CODEC(ZSTD(1)) AFTER parent_span_id, ADD COLUMN usage Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)) AFTER reasoning_tokens, ADD COLUMN usage_basis LowCardinality(String) AFTER usage, ADD COLUMN service_tier LowCardinality(String) AFTER usage_basis, ADD COLUMN costs Map(LowCardinality(String), Decimal(18, 12)) CODEC(ZSTD(1)) AFTER cost_usd, ADD COLUMN cost_source LowCardinality(String) DEFAULT if(isNull(cost_usd), '', 'reported') AFTER costs, ADD COLUMN reported_cost_usd Nullable(Decimal(18, 12)) CODEC(ZSTD(1)) AFTER cost_source, ADD COLUMN first_cost_usd Nullable(Decimal(18, 12)) CODEC(ZSTD(1)) AFTER reported_cost_usd, ADD COLUMN release LowCardinality(String) AFTER environment, ADD COLUMN agent LowCardinality(String) AFTER release, ADD COLUMN tool LowCardinality(String) AFTER agent, ADD COLUMN prompt_name LowCardinality(String) AFTER tool, ADD COLUMN prompt_version LowCardinality(String) AFTER prompt_name, ADD COLUMN tags Array(LowCardinality(String)) CODEC(ZSTD(1)) AFTER purpose

CREATE TABLE spanwell.trace_index_local ON CLUSTER 'main'
(
    trace_id String CODEC(ZSTD(1)),
    first_ts SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_ts  SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(first_ts)
ORDER BY trace_id
TTL toDateTime(first_ts) + INTERVAL 13 MONTH
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000

CREATE TABLE spanwell.trace_index ON CLUSTER 'main' AS spanwell.trace_index_local ENGINE = Distributed('main', 'spanwell', 'trace_index_local', cityHash64(trace_id))

INSERT INTO spanwell.trace_index SELECT trace_id, min(ts), max(ts) FROM spanwell.spans GROUP BY trace_id

ALTER TABLE spanwell.ledger_local ON CLUSTER 'main' ADD COLUMN digest UInt64 AFTER received,
    ADD COLUMN rejected UInt64 AFTER stored,
    ADD COLUMN last_ts DateTime64(6, 'UTC') DEFAULT toDateTime64(received, 6, 'UTC') AFTER dropped

ALTER TABLE spanwell.ledger ON CLUSTER 'main' ADD COLUMN digest UInt64 AFTER received, ADD COLUMN rejected UInt64 AFTER stored, ADD COLUMN last_ts DateTime64(6, 'UTC') DEFAULT toDateTime64(received, 6, 'UTC') AFTER dropped

DROP TABLE IF EXISTS spanwell.batches ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.batches_local ON CLUSTER 'main' SYNC

CREATE TABLE spanwell.metrics_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(ts)
ORDER BY (project, name, service, instance, series, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1

CREATE TABLE spanwell.metrics ON CLUSTER 'main' AS spanwell.metrics_local ENGINE = Distributed('main', 'spanwell', 'metrics_local', cityHash64(project, name, service, instance, series, ts))

ALTER TABLE spanwell.texts_local ON CLUSTER 'main' ADD COLUMN source LowCardinality(String) AFTER span_id

ALTER TABLE spanwell.texts ON CLUSTER 'main' ADD COLUMN source LowCardinality(String) AFTER span_id

CREATE TABLE spanwell.dead_letters_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', received)
ORDER BY id
TTL toDateTime(received) + INTERVAL 90 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

CREATE TABLE spanwell.dead_letters ON CLUSTER 'main' AS spanwell.dead_letters_local ENGINE = Distributed('main', 'spanwell', 'dead_letters_local', cityHash64(id))

ALTER TABLE spanwell.ledger_local ON CLUSTER 'main' MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1

ALTER TABLE spanwell.dead_letters_local ON CLUSTER 'main' MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1

CREATE TABLE spanwell.prices_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (provider, model, source, valid_from, recorded)

CREATE TABLE spanwell.prices ON CLUSTER 'main' AS spanwell.prices_local ENGINE = Distributed('main', 'spanwell', 'prices_local', cityHash64(provider, model, source, valid_from, recorded))

CREATE TABLE spanwell.price_updates_local ON CLUSTER 'main'
(
    source    LowCardinality(String),
    digest    String,
    models    UInt32,
    recorded  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (source, recorded)

CREATE TABLE spanwell.price_updates ON CLUSTER 'main' AS spanwell.price_updates_local ENGINE = Distributed('main', 'spanwell', 'price_updates_local', cityHash64(source, recorded))

CREATE TABLE spanwell.gpu_hours_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', computed)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, deployment, model, hour)
TTL hour + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1

CREATE TABLE spanwell.gpu_hours ON CLUSTER 'main' AS spanwell.gpu_hours_local ENGINE = Distributed('main', 'spanwell', 'gpu_hours_local', cityHash64(project, deployment, model, hour))

CREATE TABLE spanwell.texts_before_local ON CLUSTER 'main'
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC'),
    trace_id String,
    span_id  String,
    source   LowCardinality(String),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(ts)
ORDER BY (trace_id, span_id)

CREATE TABLE spanwell.texts_before ON CLUSTER 'main' AS spanwell.texts_before_local ENGINE = Distributed('main', 'spanwell', 'texts_before_local', cityHash64(trace_id))

INSERT INTO spanwell.texts_before (project, ts, trace_id, span_id, source, input, output)
SELECT project, ts, trace_id, span_id, source, input, output FROM spanwell.texts

DROP TABLE IF EXISTS spanwell.texts ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.texts_local ON CLUSTER 'main' SYNC

CREATE TABLE spanwell.texts_local ON CLUSTER 'main'
(
    project  LowCardinality(String),
    ts       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id  String CODEC(ZSTD(1)),
    source   LowCardinality(String),
    input    String CODEC(ZSTD(3)),
    output   String CODEC(ZSTD(3)),
    words    String ALIAS replaceRegexpAll(caseFoldUTF8(concat(input, '\n', output)), '[^\\x00-\\x7f]+', ' '),
    letters  String ALIAS arrayStringConcat(extractAll(caseFoldUTF8(concat(input, '\n', output)),
        '[0-9a-z]*[^\\x00-\\x7f][0-9a-z\\x{80}-\\x{10ffff}]*'), ' '),
    grams    String ALIAS arrayStringConcat(arrayConcat(ngrams(letters, 2), ngrams(letters, 3)), ' '),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX by_words words TYPE text(tokenizer = 'splitByNonAlpha'),
    INDEX by_grams grams TYPE text(tokenizer = 'splitByNonAlpha')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(ts)
ORDER BY (project, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
SETTINGS index_granularity = 512, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, enable_block_number_column = 1, enable_block_offset_column = 1

CREATE TABLE spanwell.texts ON CLUSTER 'main' AS spanwell.texts_local ENGINE = Distributed('main', 'spanwell', 'texts_local', cityHash64(trace_id))

INSERT INTO spanwell.texts (project, ts, trace_id, span_id, source, input, output)
SELECT project, ts, trace_id, span_id, source, input, output FROM spanwell.texts_before
SETTINGS exclude_materialize_skip_indexes_on_insert = ''

DROP TABLE IF EXISTS spanwell.texts_before ON CLUSTER 'main' SYNC

DROP TABLE IF EXISTS spanwell.texts_before_local ON CLUSTER 'main' SYNC

CREATE TABLE spanwell.usage_hourly_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour, app, provider, model)
TTL hour + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000

CREATE TABLE spanwell.usage_hourly ON CLUSTER 'main' AS spanwell.usage_hourly_local ENGINE = Distributed('main', 'spanwell', 'usage_hourly_local', cityHash64(project, hour, app, provider, model))

CREATE TABLE spanwell.usage_daily_users_local ON CLUSTER 'main'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, user_id)
TTL day + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000

CREATE TABLE spanwell.usage_daily_users ON CLUSTER 'main' AS spanwell.usage_daily_users_local ENGINE = Distributed('main', 'spanwell', 'usage_daily_users_local', cityHash64(project, day, user_id))

CREATE TABLE spanwell.rollups_local ON CLUSTER 'main'
(
    name     LowCardinality(String),
    project  LowCardinality(String),
    period   DateTime('UTC'),
    version  UInt64,
    built_at DateTime64(3, 'UTC'),
    rows     UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(period)
ORDER BY (name, project, period, version)
TTL period + INTERVAL 13 MONTH
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000

CREATE TABLE spanwell.rollups ON CLUSTER 'main' AS spanwell.rollups_local ENGINE = Distributed('main', 'spanwell', 'rollups_local', cityHash64(name, project, period, version))

CREATE TABLE spanwell.hours_changed_local ON CLUSTER 'main'
(
    project LowCardinality(String),
    hour    DateTime('UTC'),
    changed DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(changed)
ORDER BY (changed, project)
TTL toDateTime(changed) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 1000

CREATE TABLE spanwell.hours_changed ON CLUSTER 'main' AS spanwell.hours_changed_local ENGINE = Distributed('main', 'spanwell', 'hours_changed_local', cityHash64(changed, project))

CREATE TABLE spanwell.access_tokens_local ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)
ORDER BY id

CREATE TABLE spanwell.access_tokens ON CLUSTER 'main' AS spanwell.access_tokens_local ENGINE = Distributed('main', 'spanwell', 'access_tokens_local', cityHash64(id))

CREATE TABLE spanwell.access_audit_local ON CLUSTER 'main'
(
    ts     DateTime64(3, 'UTC'),
    actor  String,
    action LowCardinality(String),
    target String,
    detail String
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY ts
TTL toDateTime(ts) + INTERVAL 2 YEAR

CREATE TABLE spanwell.access_audit ON CLUSTER 'main' AS spanwell.access_audit_local ENGINE = Distributed('main', 'spanwell', 'access_audit_local', cityHash64(ts))

CREATE TABLE spanwell.retention_local ON CLUSTER 'main'
(
    table_name String,
    rule       String,
    ts         DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (table_name, ts)

CREATE TABLE spanwell.retention ON CLUSTER 'main' AS spanwell.retention_local ENGINE = Distributed('main', 'spanwell', 'retention_local', cityHash64(table_name, ts))

ALTER TABLE spanwell.scores_local ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1

ALTER TABLE spanwell.spans_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(90)

ALTER TABLE spanwell.texts_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(30)

ALTER TABLE spanwell.scores_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(365)

ALTER TABLE spanwell.drift_checks_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(365)

ALTER TABLE spanwell.alert_events_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(365)

ALTER TABLE spanwell.metrics_local ON CLUSTER 'main' MODIFY TTL toDateTime(ts) + toIntervalDay(30)

ALTER TABLE spanwell.ledger_local ON CLUSTER 'main' MODIFY TTL toDateTime(received) + toIntervalDay(90)

ALTER TABLE spanwell.dead_letters_local ON CLUSTER 'main' MODIFY TTL toDateTime(received) + toIntervalDay(90)

ALTER TABLE spanwell.trace_index_local ON CLUSTER 'main' MODIFY TTL toDateTime(first_ts) + toIntervalDay(90)

ALTER TABLE spanwell.usage_hourly_local ON CLUSTER 'main' MODIFY TTL toDateTime(hour) + toIntervalDay(396)

ALTER TABLE spanwell.usage_daily_users_local ON CLUSTER 'main' MODIFY TTL toDateTime(day) + toIntervalDay(396)

ALTER TABLE spanwell.rollups_local ON CLUSTER 'main' MODIFY TTL toDateTime(period) + toIntervalDay(396)

CREATE TABLE spanwell.otlp_in ON CLUSTER 'main'

CREATE TABLE spanwell.otlp_dialects_in ON CLUSTER 'main' AS spanwell.otlp_in ENGINE = Null

CREATE TABLE spanwell.otlp_spans ON CLUSTER 'main'

CREATE TABLE spanwell.otlp_dialect_spans ON CLUSTER 'main' AS spanwell.otlp_spans ENGINE = Null

CREATE OR REPLACE VIEW spanwell.price_list ON CLUSTER 'main' AS

CREATE OR REPLACE DICTIONARY spanwell.price_cards ON CLUSTER 'main'

CREATE OR REPLACE FUNCTION spanwell_cost ON CLUSTER 'main' AS (provider, model, request_model, at, service_tier, usage) ->

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_spans ON CLUSTER 'main' TO spanwell.spans AS

CREATE MATERIALIZED VIEW spanwell.otlp_dialect_spans_to_spans ON CLUSTER 'main' TO spanwell.spans AS

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_texts ON CLUSTER 'main' TO spanwell.texts AS

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_trace_index ON CLUSTER 'main' TO spanwell.trace_index AS

CREATE MATERIALIZED VIEW spanwell.otlp_dialect_spans_to_texts ON CLUSTER 'main' TO spanwell.texts AS

CREATE MATERIALIZED VIEW spanwell.otlp_dialect_spans_to_trace_index ON CLUSTER 'main' TO spanwell.trace_index AS

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_otlp_spans ON CLUSTER 'main' TO spanwell.otlp_spans AS

CREATE MATERIALIZED VIEW spanwell.otlp_dialects_in_to_otlp_dialect_spans ON CLUSTER 'main' TO spanwell.otlp_dialect_spans AS
