-- One flat row a span fills the tables that last.

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_spans TO spanwell.spans AS
SELECT
    * EXCEPT (named_usd, named_version, is_metered, priced),
    coalesce(named_usd, priced.1) AS cost_usd,
    mapFilter((kind, usd) -> isNotNull(cost_usd), priced.2) AS costs,
    multiIf(isNotNull(named_usd), 'reported', isNotNull(cost_usd), 'priced', '') AS cost_source,
    if(cost_source = 'priced', priced.3, named_version) AS price_version
FROM
(
    SELECT
        multiIf(attrs['spanwell.project'] != '', attrs['spanwell.project'],
                resource['spanwell.project'] != '', resource['spanwell.project'],
                default_project) AS project,
        ts,
        now64(3) AS received,
        trace_id,
        span_id,
        parent_span_id,
        attrs['spanwell.duplicate_of'] AS duplicate_of,
        name,
        attrs['gen_ai.operation.name'] AS operation,
        transform(kind, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], '') AS kind,
        transform(status_code, [1, 2], ['ok', 'error'], 'unset') AS status,
        status_message,
        attrs['error.type'] AS error_type,
        toUInt16OrZero(attrs['http.response.status_code']) AS http_status,
        resource['service.name'] AS service,
        multiIf(attrs['spanwell.app'] != '', attrs['spanwell.app'],
                resource['spanwell.app'] != '', resource['spanwell.app'],
                resource['service.name']) AS app,
        multiIf(attrs['deployment.environment.name'] != '', attrs['deployment.environment.name'],
                resource['deployment.environment.name'] != '', resource['deployment.environment.name'],
                resource['deployment.environment']) AS environment,
        if(attrs['spanwell.release'] != '', attrs['spanwell.release'], resource['service.version']) AS release,
        attrs['gen_ai.agent.name'] AS agent,
        attrs['gen_ai.tool.name'] AS tool,
        attrs['gen_ai.prompt.name'] AS prompt_name,
        attrs['gen_ai.prompt.version'] AS prompt_version,
        attrs['gen_ai.provider.name'] AS provider,
        if(attrs['gen_ai.response.model'] != '', attrs['gen_ai.response.model'], attrs['gen_ai.request.model']) AS model,
        attrs['gen_ai.request.model'] AS request_model,
        attrs['gen_ai.response.id'] AS response_id,
        attrs['spanwell.deployment'] AS deployment,
        attrs['user.id'] AS user_id,
        if(attrs['session.id'] != '', attrs['session.id'], attrs['gen_ai.conversation.id']) AS session_id,
        attrs['spanwell.key.id'] AS key_id,
        attrs['spanwell.team'] AS team,
        toUInt32OrZero(attrs['gen_ai.usage.input_tokens']) AS input_tokens,
        toUInt32OrZero(attrs['gen_ai.usage.output_tokens']) AS output_tokens,
        toUInt32OrZero(attrs['gen_ai.usage.cache_read.input_tokens']) AS cached_tokens,
        toUInt32OrZero(attrs['gen_ai.usage.cache_write.input_tokens']) AS cache_write_tokens,
        toUInt32OrZero(attrs['gen_ai.usage.reasoning.output_tokens']) AS reasoning_tokens,
        mapFilter((kind, tokens) -> tokens > 0, map(
            'cache_write_1h', toUInt64OrZero(attrs['spanwell.usage.cache_write_1h.input_tokens']),
            'audio_input', toUInt64OrZero(attrs['gen_ai.usage.audio.input_tokens']),
            'audio_output', toUInt64OrZero(attrs['gen_ai.usage.audio.output_tokens']),
            'image_input', toUInt64OrZero(attrs['gen_ai.usage.image.input_tokens']),
            'image_output', toUInt64OrZero(attrs['gen_ai.usage.image.output_tokens']))) AS usage,
        if(attrs['spanwell.usage.estimated'] = 'true', 'estimated', attrs['spanwell.usage.basis']) AS usage_basis,
        attrs['spanwell.service_tier'] AS service_tier,
        toDecimal64OrNull(attrs['spanwell.cost_usd'], 12) AS named_usd,
        attrs['spanwell.price_version'] AS named_version,
        operation IN ('chat', 'text_completion', 'embeddings') AND input_tokens + output_tokens > 0 AS is_metered,
        spanwell_cost(provider, model, request_model, ts, service_tier, if(is_metered AND isNull(named_usd), mapConcat(usage, map(
            'input', toUInt64(input_tokens), 'output', toUInt64(output_tokens), 'cached', toUInt64(cached_tokens),
            'cache_write', toUInt64(cache_write_tokens), 'reasoning', toUInt64(reasoning_tokens))), CAST(map() AS Map(String, UInt64)))) AS priced,
        toDecimal64OrNull(attrs['spanwell.reported_cost_usd'], 12) AS reported_cost_usd,
        toDecimal64OrNull(attrs['spanwell.saved_usd'], 12) AS saved_usd,
        toFloat64OrNull(attrs['gen_ai.response.time_to_first_chunk']) * 1000 AS ttft_ms,
        duration_ms,
        attrs['gen_ai.request.stream'] = 'true' AS stream,
        attrs['spanwell.cache'] AS cache,
        toUInt16OrZero(attrs['spanwell.attempts']) AS attempts,
        if(startsWith(attrs['gen_ai.response.finish_reasons'], '['),
           JSONExtractString(attrs['gen_ai.response.finish_reasons'], 1),
           attrs['gen_ai.response.finish_reasons']) AS finish_reason,
        attrs['spanwell.purpose'] AS purpose,
        JSONExtract(attrs['spanwell.tags'], 'Array(String)') AS tags,
        attrs['spanwell.simulated'] = 'true' OR resource['spanwell.simulated'] = 'true' AS simulated,
        scope,
        if(attrs['spanwell.dialect'] != '', attrs['spanwell.dialect'], 'spanwell') AS dialect,
        mapFilter((key, value) -> key NOT IN ({{columns}}), attrs) AS attributes,
        resource,
        events
    FROM spanwell.otlp_spans
);

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_texts TO spanwell.texts AS
SELECT
    multiIf(attrs['spanwell.project'] != '', attrs['spanwell.project'],
            resource['spanwell.project'] != '', resource['spanwell.project'],
            default_project) AS project,
    ts,
    trace_id,
    span_id,
    if(attrs['gen_ai.input.messages'] != '', attrs['gen_ai.input.messages'], attrs['spanwell.input']) AS input,
    if(attrs['gen_ai.output.messages'] != '', attrs['gen_ai.output.messages'], attrs['spanwell.output']) AS output
FROM spanwell.otlp_spans
WHERE input != '' OR output != '';

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_trace_index TO spanwell.trace_index AS
SELECT trace_id, min(ts) AS first_ts, max(ts) AS last_ts
FROM spanwell.otlp_spans
GROUP BY trace_id;
