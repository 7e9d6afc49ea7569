"""Cache: how many requests it answers, and what that is worth."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import charts, colors, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count, money, points, rate

METRICS = ("requests", "cache_hits", "cache_hit_rate", "saved_usd")


def cache(scope: Scope) -> None:
    totals = frames.windows(reads.overview(scope))
    if totals is None:
        with panels.panel("No requests in this window"):
            panels.empty("The cache has nothing to answer yet.", "spanwell.cache")
        return
    trend = frames.filled(reads.series(scope, METRICS), scope, ("requests", "cache_hits", "saved_usd"))
    _cards(panels.Course(totals, trend))
    _charts(frames.localised(trend, st.context.timezone), scope)
    left, right = st.columns(2, gap="small")
    with left, panels.panel("By model"):
        _table(scope, "model", "Model")
    with right, panels.panel("By app"):
        _table(scope, "app", "App")


def _cards(course: panels.Course) -> None:
    panels.cards(
        [
            panels.metric_card(
                course,
                "Hit rate",
                "cache_hit_rate",
                rate,
                good="up",
                compare=points,
                note="Hits divided by all requests, those that never looked into the cache included.",
            ),
            panels.metric_card(course, "Hits", "cache_hits", count),
            panels.metric_card(course, "Requests", "requests", count),
            panels.metric_card(course, "Saved", "saved_usd", money, good="up", note="What the hits would have cost."),
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
