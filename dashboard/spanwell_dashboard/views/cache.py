"""Cache: how many requests it answers, and what that is worth."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import charts, colors, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import change, count, money, points, rate

METRICS = ("requests", "cache_hits", "cache_hit_rate", "saved_usd")


def cache(scope: Scope) -> None:
    totals = frames.windows(reads.overview(scope))
    if totals is None:
        with panels.panel("No requests in this window"):
            panels.empty("The cache has nothing to answer yet.", "spanwell.cache")
        return
    trend = frames.filled(reads.series(scope, METRICS), scope, ("requests", "cache_hits", "saved_usd"))
    now = totals.now
    _cards(now, totals.before, trend)
    _charts(frames.localised(trend, st.context.timezone), scope)
    left, right = st.columns(2, gap="small")
    with left, panels.panel("By model"):
        _table(scope, "model", "Model")
    with right, panels.panel("By app"):
        _table(scope, "app", "App")


def _cards(now: pd.Series, before: pd.Series, trend: pd.DataFrame) -> None:
    panels.cards(
        [
            panels.card(
                "Hit rate",
                rate(now.cache_hit_rate),
                delta=points(now.cache_hit_rate, before.cache_hit_rate),
                good="up",
                trend=trend["cache_hit_rate"],
                note="Hits divided by all requests, those that never looked into the cache included.",
            ),
            panels.card(
                "Hits",
                count(now.cache_hits),
                delta=change(now.cache_hits, before.cache_hits),
                trend=trend["cache_hits"],
            ),
            panels.card(
                "Requests", count(now.requests), delta=change(now.requests, before.requests), trend=trend["requests"]
            ),
            panels.card(
                "Saved",
                money(now.saved_usd),
                delta=change(now.saved_usd, before.saved_usd),
                good="up",
                trend=trend["saved_usd"],
                note="What the hits would have cost.",
            ),
        ]
    )


def _charts(trend: pd.DataFrame, scope: Scope) -> None:
    left, right = st.columns(2, gap="small")
    with left, panels.panel("Hit rate", "hits / requests"):
        table = trend.set_index("ts")[["cache_hit_rate"]]
        panels.chart(charts.lines(table, {"cache_hit_rate": colors.TEAL}, "rate"), key="hit-rate")
    with right, panels.panel("Answered from the cache", "and those that were not"):
        panels.chart(charts.cache_use(trend), key="cache-use")
    by_app = frames.wide(reads.series(scope, ("saved_usd",), by="app"), scope, "app", "saved_usd")
    with panels.panel("Saved by app", "US dollars a bucket"):
        palette = colors.assign(reads.dimension_values(scope, "app"))
        panels.stacked_chart(by_app, palette, "usd", key="saved")


def _table(scope: Scope, by: str, title: str) -> None:
    rows = frames.named(reads.breakdown(scope, by, METRICS), by)
    st.dataframe(
        rows,
        hide_index=True,
        row_height=32,
        column_order=[by, "requests", "cache_hits", "cache_hit_rate", "saved_usd"],
        column_config={
            by: st.column_config.TextColumn(title, width="medium"),
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "cache_hits": st.column_config.NumberColumn("Hits", format="localized"),
            "cache_hit_rate": panels.bar_column("Hit rate", pd.Series([1.0]), "percent"),
            "saved_usd": panels.money_column("Saved"),
        },
    )


page("Cache", cache)
