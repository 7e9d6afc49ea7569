"""Users: what each one cost, and when they were last seen."""

from typing import Any, Final, NamedTuple

import pyarrow as pa

from spanwell_collector.queries.selection import Selection, field_names, statement
from spanwell_collector.queries.sources import is_long
from spanwell_collector.registry import REQUESTS
from spanwell_collector.rollups.definitions import DAILY_USERS
from spanwell_collector.rollups.read import select_user_usage
from spanwell_collector.store.client import Store

SUMS: Final = {
    "requests": ("count()", "sum(requests)"),
    "errors": ("countIf(status = 'error')", "sum(errors)"),
    "cost_usd": ("ifNull(toFloat64(sum(cost_usd)), 0)", "toFloat64(sum(cost_usd))"),
    "saved_usd": ("ifNull(toFloat64(sum(saved_usd)), 0)", "toFloat64(sum(saved_usd))"),
    "input_tokens": ("sum(input_tokens)", "sum(input_tokens)"),
    "output_tokens": ("sum(output_tokens)", "sum(output_tokens)"),
    "last_ts": ("max(ts)", "max(last_ts)"),
}


class _Source(NamedTuple):
    relation: str
    where: str
    parameters: dict[str, Any]
    is_summed: bool


def list_users(store: Store, selection: Selection, *, limit: int) -> pa.Table:
    """One row a user, the dearest first; calls for nobody are left out."""
    source = _choose(store, selection)
    sums = ", ".join(f"{both[source.is_summed]} AS u_{name}" for name, both in SUMS.items())
    sql = statement(
        f"SELECT user_id, {sums}",
        f"FROM {source.relation}",
        f"WHERE {source.where}",
        "GROUP BY user_id ORDER BY u_cost_usd DESC, u_requests DESC, user_id LIMIT {limit:UInt32}",
    )
    return store.query(sql, {**source.parameters, "limit": limit}).rename_columns(["user_id", *SUMS])


def _choose(store: Store, selection: Selection) -> _Source:
    if field_names(selection.filters) <= set(DAILY_USERS.keys) and is_long(store, selection):
        usage = select_user_usage(store, selection.project, selection.start, selection.end)
        return _Source(usage.relation, selection.matches(), {**selection.parameters(), **usage.parameters}, True)
    where = f"{selection.where()} AND {REQUESTS} AND user_id != ''"
    return _Source("spanwell.spans", where, selection.parameters(), False)
