"""What models cost, and which have no price."""

from collections.abc import Collection
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

import pyarrow as pa

from spanwell_collector.queries.selection import Selection
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store

NEAR: Final = 3  # names suggested for one that has no price
LIST: Final = """
SELECT provider, model, mode, source, version, valid_from, valid_to, cards
FROM spanwell.price_list
WHERE notEmpty(cards)
  AND ({model:String} = '' OR model = {model:String})
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
NAMES: Final = "SELECT DISTINCT provider, model FROM spanwell.price_list WHERE notEmpty(cards) ORDER BY provider, model"


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


def find_near(model: str, names: Collection[str]) -> list[str]:
    """The longest name that `model` begins with, for it may be a version of that; and those that look alike."""
    begun = sorted((name for name in names if name and model.startswith(name)), key=len)[-1:]
    alike = get_close_matches(model, sorted(names), n=NEAR, cutoff=0.7)
    return list(dict.fromkeys((*begun, *alike)))[:NEAR]
