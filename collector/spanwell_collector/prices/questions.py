"""What models cost, and which have no price."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

import pyarrow as pa

from spanwell.conventions import CALLS
from spanwell_collector.queries.selection import Selection
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store
from spanwell_collector.store.priced import PRICED

NEAR: Final = 3  # names suggested for one that has no price
LIST: Final = """
SELECT provider, model, mode, source, version, valid_from, valid_to, cards
FROM spanwell.price_list
WHERE ({model:String} = '' OR model = {model:String})
  AND ({provider:String} = '' OR provider = {provider:String})
  AND ({history:Bool} OR (valid_from <= {at:DateTime64(3, 'UTC')} AND valid_to >= {at:DateTime64(3, 'UTC')}))
ORDER BY model, provider, valid_from
LIMIT {limit:UInt32}
"""
UNPRICED: Final = """
SELECT
    provider,
    model,
    request_model,
    count() AS calls,
    sum(input_tokens) AS input,
    sum(output_tokens) AS output,
    min(ts) AS first_ts,
    max(ts) AS last_ts
FROM spanwell.spans
WHERE <where> AND <requests> AND cost_usd IS NULL AND cache != 'hit' AND input_tokens + output_tokens > 0
GROUP BY provider, model, request_model
ORDER BY calls DESC, provider, model, request_model
LIMIT 500
"""
# As a provider bills: each token once, and reasoning among the output.
BILLED: Final = """
SELECT
    toString(toDate(ts)) AS day,
    provider,
    model,
    key_id,
    count() AS calls,
    mapFilter((kind, tokens) -> tokens > 0, map(
        'input', sum(greatest(toInt64(input_tokens) - cached_tokens - cache_write_tokens - heard - seen, 0)),
        'cached', sum(toInt64(cached_tokens)),
        'cache_write', sum(greatest(toInt64(cache_write_tokens) - hour, 0)),
        'cache_write_1h', sum(hour),
        'audio_input', sum(heard),
        'image_input', sum(seen),
        'output', sum(greatest(toInt64(output_tokens) - spoken - drawn, 0)),
        'audio_output', sum(spoken),
        'image_output', sum(drawn))) AS tokens,
    sumMap(by_kind) AS costs,
    sum(cost_usd) AS usd
FROM
(
    SELECT
        ts, provider, model, key_id, input_tokens, output_tokens, cached_tokens, cache_write_tokens, cost_usd,
        toInt64(usage['cache_write_1h']) AS hour,
        toInt64(usage['audio_input']) AS heard, toInt64(usage['audio_output']) AS spoken,
        toInt64(usage['image_input']) AS seen, toInt64(usage['image_output']) AS drawn,
        CAST(if(empty(costs) AND isNotNull(cost_usd), <priced>.2, costs) AS Map(String, Decimal(18, 12))) AS by_kind
    FROM spanwell.spans
    WHERE (project = {project:String} OR {project:String} = '*')
      AND ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
      AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
      AND operation IN <calls> AND duplicate_of = '' AND cache != 'hit'
      AND input_tokens + output_tokens > 0
)
GROUP BY day, provider, model, key_id
ORDER BY day, provider, model, key_id
""".replace("<priced>", PRICED).replace("<calls>", str(CALLS))
NAMES: Final = "SELECT DISTINCT provider, model FROM spanwell.price_list ORDER BY provider, model"


def list_prices(
    store: Store, at: datetime, *, model: str = "", provider: str = "", history: bool = False, limit: int = 1000
) -> pa.Table:
    """The prices that hold at `at`; with `history` those that ever did."""
    asked = {"model": model, "provider": provider, "history": history, "at": at, "limit": limit}
    return store.query(LIST, asked)


def list_unpriced(store: Store, chosen: Selection) -> list[dict[str, Any]]:
    """Models of calls without a cost, the most called first, each with the names that have a price and look alike."""
    sql = UNPRICED.replace("<where>", chosen.where()).replace("<requests>", REQUESTS)
    rows: list[dict[str, Any]] = store.query(sql, chosen.parameters()).to_pylist()
    named = store.query(NAMES).to_pylist() if rows else []
    for row in rows:
        # Of its own provider, where that has any prices.
        own = {one["model"] for one in named if one["provider"] == row["provider"]}
        names = own or {one["model"] for one in named}
        row["near"] = find_near(row["model"], names)
    return rows


def list_billed(store: Store, chosen: Selection) -> list[dict[str, Any]]:
    """Calls, tokens and US dollars by kind, for each day, provider, model and key; the project may be `*`."""
    asked = {**chosen.parameters(), "project": chosen.project}
    rows: list[dict[str, Any]] = store.query(
        BILLED.replace("<priced>", PRICED).replace("<calls>", str(CALLS)), asked
    ).to_pylist()
    return [{**row, "tokens": dict(row["tokens"]), "costs": _merge(dict(row["costs"]), row["usd"])} for row in rows]


def _merge(costs: dict[str, Decimal], usd: Decimal | None) -> dict[str, Decimal]:
    """As bills have it: reasoning is output; and what the kinds do not make up is `other`."""
    other = (usd or Decimal(0)) - sum(costs.values(), Decimal(0))
    output = costs.get("output", Decimal(0)) + costs.pop("reasoning", Decimal(0))
    return {kind: value for kind, value in {**costs, "output": output, "other": other}.items() if value}


def find_near(model: str, names: Collection[str]) -> list[str]:
    """The longest name that `model` begins with, for it may be a version of that; and those that look alike."""
    begun = sorted((name for name in names if name and model.startswith(name)), key=len)[-1:]
    alike = get_close_matches(model, sorted(names), n=NEAR, cutoff=0.7)
    return list(dict.fromkeys((*begun, *alike)))[:NEAR]
