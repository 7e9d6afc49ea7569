-- Two ways into `spans`: the proxy's calls bring their cost, all others are priced here, which makes a view a quarter
-- dearer to analyse at each insert, and to fill by half.

CREATE MATERIALIZED VIEW spanwell.otlp_spans_to_spans TO spanwell.spans AS
SELECT
    * EXCEPT (named_usd, named_version),
    named_usd AS cost_usd,
    if(isNull(named_usd), '', 'reported') AS cost_source,
    named_version AS price_version
FROM
(
{{otlp_spans}}
);

-- The price is a column of a query within: named in a WITH it would be analysed at each of its uses.
CREATE MATERIALIZED VIEW spanwell.otlp_dialect_spans_to_spans TO spanwell.spans AS
SELECT
    * EXCEPT (named_usd, named_version, priced),
    coalesce(named_usd, priced.1) AS cost_usd,
    mapFilter((kind, usd) -> isNotNull(cost_usd), priced.2) AS costs,
    multiIf(isNotNull(named_usd), 'reported', isNotNull(cost_usd), 'priced', '') AS cost_source,
    if(cost_source = 'priced', priced.3, named_version) AS price_version
FROM
(
SELECT
    *,
    spanwell_cost(provider, model, request_model, ts, service_tier, if(
        operation IN ('chat', 'text_completion', 'embeddings') AND input_tokens + output_tokens > 0 AND cache != 'hit' AND isNull(named_usd),
        mapConcat(usage, map(
            'input', toUInt64(input_tokens), 'output', toUInt64(output_tokens), 'cached', toUInt64(cached_tokens),
            'cache_write', toUInt64(cache_write_tokens), 'reasoning', toUInt64(reasoning_tokens))),
        CAST(map() AS Map(String, UInt64)))) AS priced
FROM
(
{{otlp_dialect_spans}}
)
);
