-- What a call costs, as a function of SQL: the views, re-pricing and anybody's query price alike.

CREATE OR REPLACE FUNCTION spanwell_cost AS (provider, model, request_model, at, service_tier, usage) ->
    (materialize(CAST(NULL AS Nullable(Decimal(18, 12)))), CAST(map(provider, toDecimal64(0, 12)) AS Map(LowCardinality(String), Decimal(18, 12))), provider);
