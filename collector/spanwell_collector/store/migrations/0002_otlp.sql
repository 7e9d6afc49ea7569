-- How OTLP becomes rows: otlp_in takes the parsed message, otlp_spans one flat row a span, and views fill the tables.
-- The first two hold nothing (ENGINE = Null). An unset member of a protobuf oneof arrives as NULL.

CREATE TABLE spanwell.otlp_in
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
ENGINE = Null;

CREATE TABLE spanwell.otlp_spans
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
ENGINE = Null;

-- A span whose ids are not 16 and 8 bytes, or whose start lies outside the time that is kept, is left out: it must not
-- take its batch with it. The ledger counts by the same condition, so that what is left out shows as missing.
CREATE MATERIALIZED VIEW spanwell.otlp_in_to_otlp_spans TO spanwell.otlp_spans AS
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
                                    AND toUInt64(toUnixTimestamp(now() + INTERVAL 1 DAY)) * 1000000000;

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_spans TO spanwell.spans AS
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
FROM spanwell.otlp_spans;

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_texts TO spanwell.texts AS
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
WHERE input != '' OR output != '';

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_ledger TO spanwell.ledger AS
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
WHERE mapContains(resource, 'spanwell.batch.first');

CREATE MATERIALIZED VIEW spanwell.otlp_in_to_batches TO spanwell.batches AS
SELECT now64(3) AS received, arrayJoin(batch_digests) AS digest
FROM spanwell.otlp_in;
