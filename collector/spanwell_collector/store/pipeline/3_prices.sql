-- What a call costs, as a function of SQL: the views, re-pricing and anybody's query price alike.

-- Each model's timeline. What the user says holds instead of the list for as long as it says anything; what was taken
-- back was never said.
CREATE OR REPLACE VIEW spanwell.price_list AS
WITH
    said AS
    (
        SELECT
            provider, model, source, valid_from,
            argMax(version, recorded) AS named,
            argMax((mode, off_peak, cards), recorded) AS terms,
            leadInFrame(valid_from, 1, toDateTime64('2200-01-01', 3, 'UTC')) OVER (
                PARTITION BY provider, model, source ORDER BY valid_from
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
        FROM spanwell.prices
        GROUP BY provider, model, source, valid_from
        HAVING NOT argMax(withdrawn, recorded)
    )
SELECT
    provider,
    model,
    valid_from,
    leadInFrame(valid_from, 1, toDateTime64('2200-01-01', 3, 'UTC')) OVER (
        PARTITION BY provider, model ORDER BY valid_from
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) - INTERVAL 1 MILLISECOND AS valid_to,
    source,
    named AS version,
    terms.1 AS mode,
    terms.2 AS off_peak,
    terms.3 AS cards
FROM
(
    SELECT moment.provider AS provider, moment.model AS model, moment.valid_from AS valid_from, source, named, terms
    FROM (SELECT DISTINCT provider, model, valid_from FROM said) AS moment
    INNER JOIN said ON said.provider = moment.provider AND said.model = moment.model
    WHERE said.valid_from <= moment.valid_from AND moment.valid_from < said.until
    ORDER BY source = 'user' DESC
    LIMIT 1 BY provider, model, valid_from
);

CREATE OR REPLACE DICTIONARY spanwell.price_cards
(
    provider      String,
    model         String,
    valid_from    DateTime64(3, 'UTC'),
    valid_to      DateTime64(3, 'UTC'),
    own           UInt8,  -- the user's word
    version       String,
    off_peak      Array(UInt8),
    service_tiers Array(String),
    from_tokens   Array(UInt64),
    rates         Array(Array(Decimal(18, 12)))
)
PRIMARY KEY provider, model
SOURCE(CLICKHOUSE(QUERY '
    SELECT provider, model, valid_from, valid_to, source = ''user'' AS own, version, off_peak, cards.service_tier, cards.from_tokens,
        arrayMap(card -> arrayMap(kind -> card.rates[kind],
            [''cached'', ''cache_write_1h'', ''cache_write'', ''audio_input'', ''image_input'', ''input'',
             ''reasoning'', ''audio_output'', ''image_output'', ''output'', ''request'']), cards)
    FROM spanwell.price_list'))
LAYOUT(COMPLEX_KEY_RANGE_HASHED())
RANGE(MIN valid_from MAX valid_to)
LIFETIME(0);

-- (US dollars, the same by kind of token, version of the price). What nobody has named a price for has none: NULL.
-- It is costs_usd of sdk/spanwell/pricing.py, and the kinds stand in the order of KINDS in sdk/spanwell/rates.py. Each
-- array of one element or none is a value: what is done with it is done for the calls alone that have to be priced.
CREATE OR REPLACE FUNCTION spanwell_cost AS (provider, model, request_model, at, service_tier, usage) ->
    arrayMap(tokens -> arrayMap(price -> arrayMap(charges -> (
        accurateCastOrNull(arraySum(charges), 'Decimal(18, 12)'),
        mapFilter((kind, usd) -> usd > 0, CAST(mapFromArrays(
            ['cached', 'cache_write_1h', 'cache_write', 'audio_input', 'image_input', 'input',
             'reasoning', 'audio_output', 'image_output', 'output', 'request'],
            arrayMap(usd -> accurateCastOrDefault(usd, 'Decimal(18, 12)'), charges)) AS Map(LowCardinality(String), Decimal(18, 12)))),
        price.1),
        [arrayMap((rate, billed) -> toDecimal128(rate, 12) * billed,
            price.5[arrayLastIndex((tier, first) -> first <= tokens[6] AND tier = multiIf(
                has(price.2, toUInt8(24 * (toDayOfWeek(at) - 1) + toHour(at))), 'off_peak',
                has(price.3, service_tier), service_tier,
                ''), price.3, price.4)],
            -- A part is billed as far as its total reaches, and the total for what is left of it.
            arrayConcat(
                arraySlice(arrayDifference(arrayMap(end -> least(end, tokens[6]), arrayCumSum(arrayPushFront(arraySlice(tokens, 1, 6), 0)))), 2),
                arraySlice(arrayDifference(arrayMap(end -> least(end, tokens[10]), arrayCumSum(arrayPushFront(arraySlice(tokens, 7, 4), 0)))), 2),
                [1]))])[1],
        arrayMap(key -> dictGet('spanwell.price_cards', ('version', 'off_peak', 'service_tiers', 'from_tokens', 'rates'), key, toDateTime64(at, 3, 'UTC')),
            -- The user's word for the name that was asked for goes before the list's for the one that answered.
            arraySlice(arrayFilter(key -> dictHas('spanwell.price_cards', key, toDateTime64(at, 3, 'UTC')), arrayConcat(
                arrayFilter(key -> dictGetOrDefault('spanwell.price_cards', 'own', key, toDateTime64(at, 3, 'UTC'), 0) = 1,
                    [(provider, model), (provider, request_model)]),
                [(provider, model), (provider, request_model), ('*', model), ('*', request_model)])), 1, 1)))[1],
        if(empty(usage), [], [arrayMap(
            (kind, part) -> least(usage[kind], 4294967295) - least(usage[kind], usage[part], 4294967295),
            ['cached', 'cache_write_1h', 'cache_write', 'audio_input', 'image_input', 'input',
             'reasoning', 'audio_output', 'image_output', 'output'],
            ['', '', 'cache_write_1h', '', '', '', '', '', '', ''])]))[1];
