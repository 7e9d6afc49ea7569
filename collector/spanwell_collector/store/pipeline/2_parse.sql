-- Rendered twice: "source" is a table of OTLP, "attrs" makes a span's map of attributes from `names` and `values`.

CREATE MATERIALIZED VIEW spanwell.{{source}}_to_{{target}} TO spanwell.{{target}} AS
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
    {{attrs}} AS attrs,
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
        span,
        arrayMap(pair -> pair.key, span.attributes) AS names,
        arrayMap(pair -> multiIf(
            notEmpty(pair.value.array_value.values),
                concat('[', arrayStringConcat(arrayMap(v -> json(v), pair.value.array_value.values), ','), ']'),
            notEmpty(pair.value.kvlist_value.values),
                concat('{', arrayStringConcat(arrayMap(entry -> concat(toJSONString(entry.key), ':', json(entry.value)), pair.value.kvlist_value.values), ','), '}'),
            plain(pair.value)), span.attributes) AS values
    FROM spanwell.{{source}}
    ARRAY JOIN resource_spans AS in_resource
    ARRAY JOIN in_resource.scope_spans AS in_scope
    ARRAY JOIN in_scope.spans AS span
);
