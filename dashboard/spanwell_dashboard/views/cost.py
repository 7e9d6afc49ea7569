"""Cost: who spends it, on what, when; what the cache saved; what has no price."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import colors, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import change, count, money

DIMENSIONS = {"Model": "model", "App": "app", "User": "user_id", "Team": "team", "Key": "key_id"}
METRICS = ("cost_usd", "saved_usd", "requests", "unpriced")
FILLED_BY = {
    "model": "gen_ai.response.model",
    "app": "spanwell.app",
    "user_id": "user.id",
    "team": "spanwell.team",
    "key_id": "spanwell.key.id",
}


def cost(scope: Scope) -> None:
    totals = frames.windows(reads.overview(scope))
    if totals is None:
        with panels.panel("No requests in this window"):
            panels.empty("Cost appears with the first request that has a price.", "spanwell.cost_usd")
        return
    now = totals.now
    trend = frames.filled(reads.series(scope, METRICS), scope, METRICS)
    _cards(panels.Course(totals, trend))
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.segmented_control(
            "Split by",
            list(DIMENSIONS),
            default="Model",
            required=True,
            key="by",
            bind="query-params",
            persist_state="session",
            label_visibility="collapsed",
        )
        if now.unpriced:
            st.badge("some requests have no price: see below", color="orange", icon=":material/warning:")
    _split(scope, DIMENSIONS[chosen or "Model"])
    if now.unpriced:
        _unpriced(scope)


def _cards(course: panels.Course) -> None:
    totals, trend = course
    each_now, each_before = _each(totals.now), _each(totals.before)
    panels.cards(
        [
            panels.metric_card(course, "Cost", "cost_usd", money, good="down"),
            panels.card(
                "Cost per request",
                money(each_now),
                delta=change(each_now, each_before),
                good="down",
                trend=trend["cost_usd"] / trend["requests"].where(trend["requests"] > 0),
                note="Cost of the window divided by its requests, cache hits included.",
            ),
            panels.metric_card(
                course, "Saved by cache", "saved_usd", money, good="up", note="What the cache hits would have cost."
            ),
            panels.metric_card(course, "Requests", "requests", count),
            panels.metric_card(
                course,
                "Without a price",
                "unpriced",
                count,
                good="down",
                note="Requests whose model has no price: their cost is unknown, and not in the sum.",
            ),
        ]
    )


def _each(totals: pd.Series) -> float | None:
    return float(totals.cost_usd) / float(totals.requests) if totals.requests else None


def _unpriced(scope: Scope) -> None:
    rows = reads.breakdown(scope, "model", ("unpriced", "requests"))
    rows = frames.named(rows[rows["unpriced"] > 0], "model").head(20)
    with panels.panel("Models without a price", "the sums here are lower than the invoice will be"):
        st.markdown(
            "Give them `input_cost_per_token` and `output_cost_per_token` under `model_info` in `spanwell.yaml`. "
            "Requests that were already made keep their price."
        )
        st.dataframe(
            rows,
            hide_index=True,
            column_order=["model", "unpriced", "requests"],
            column_config={
                "model": "Model",
                "unpriced": st.column_config.NumberColumn("Without a price", format="localized"),
                "requests": st.column_config.NumberColumn("Requests", format="localized"),
            },
        )


def _split(scope: Scope, by: str) -> None:
    rows = frames.named(reads.breakdown(scope, by, ("cost_usd", "requests", "saved_usd", "cache_hit_rate")), by)
    if set(rows[by]) <= {"(none)"}:
        with panels.panel("No one to split by"):
            panels.empty("No request of this window names one.", FILLED_BY[by])
        return
    palette = colors.assign(reads.dimension_values(scope, by))
    over_time = frames.wide(reads.series(scope, ("cost_usd", "requests"), by=by), scope, by, "cost_usd")
    with panels.panel("Cost over time", "US dollars a bucket"):
        panels.stacked_chart(over_time, palette, "usd", key="cost-over-time")
    with panels.panel("Shares"):
        _shares(rows, by)


def _shares(rows: pd.DataFrame, by: str) -> None:
    total = float(rows["cost_usd"].sum()) or 1.0
    table = rows.assign(share=rows["cost_usd"] / total, each=rows["cost_usd"] / rows["requests"].clip(lower=1))
    st.dataframe(
        table,
        hide_index=True,
        row_height=32,
        column_order=[by, "share", "cost_usd", "requests", "each", "saved_usd", "cache_hit_rate"],
        column_config={
            by: st.column_config.TextColumn("Name", width="medium"),
            "share": panels.bar_column("Share", table["share"], "percent"),
            "cost_usd": panels.money_column("Cost"),
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "each": panels.small_money_column("Per request"),
            "saved_usd": panels.money_column("Saved by cache"),
            "cache_hit_rate": panels.rate_column("Cache hits"),
        },
    )


page("Cost", cost)
