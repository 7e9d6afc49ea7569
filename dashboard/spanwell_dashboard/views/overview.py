"""Overview: what it cost, how fast it was, what failed; now against the window before."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import charts, colors, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count, duration, money, points, rate, speed

TRENDS = ("requests", "errors", "error_rate", "cost_usd", "p50_ms", "p95_ms", "p99_ms")
MORE_TRENDS = ("ttft_p50_ms", "cache_hit_rate", "tokens_per_second")
COLUMNS = (
    "requests",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "ttft_p50_ms",
    "cost_usd",
    "error_rate",
    "cache_hit_rate",
    "tokens_per_second",
)


def overview(scope: Scope) -> None:
    totals = frames.windows(reads.overview(scope))
    if totals is None:
        with panels.panel("No requests in this window"):
            panels.empty("Point an OpenAI client at the proxy, or choose a longer window.", "gen_ai.operation.name")
        return
    trend = reads.series(scope, (*TRENDS, *MORE_TRENDS))
    filled = frames.filled(trend, scope, ("requests", "errors", "cost_usd"))
    _cards(panels.Course(totals, filled))
    _charts(scope, frames.localised(filled, st.context.timezone))
    _models(scope)


def _cards(course: panels.Course) -> None:
    panels.cards(
        [
            panels.metric_card(
                course,
                "Requests",
                "requests",
                count,
                note="LLM calls: chat, text completion and embeddings; Spanwell's own judge calls are left out.",
            ),
            panels.metric_card(
                course,
                "Cost",
                "cost_usd",
                money,
                good="down",
                note="Sum of the priced calls in US dollars. Change: against the window before, of the same length.",
            ),
            panels.metric_card(
                course, "p95 latency", "p95_ms", duration, good="down", note="19 of 20 requests took less."
            ),
            panels.metric_card(
                course,
                "First token",
                "ttft_p50_ms",
                duration,
                good="down",
                note="Median time to the first chunk of streamed answers.",
            ),
            panels.metric_card(
                course,
                "Error rate",
                "error_rate",
                rate,
                good="down",
                compare=points,
                note="Failed requests of all requests; change in percentage points.",
            ),
            panels.metric_card(
                course,
                "Cache hit rate",
                "cache_hit_rate",
                rate,
                good="up",
                compare=points,
                note="Requests answered from the cache of all requests; change in percentage points.",
            ),
            panels.metric_card(
                course,
                "Tokens / s",
                "tokens_per_second",
                speed,
                good="up",
                note="Output tokens a second of generation, cache hits left out.",
            ),
        ]
    )


def _charts(scope: Scope, trend: pd.DataFrame) -> None:
    left, right = st.columns(2, gap="small")
    with left, panels.panel("Latency", "p50, p95 and p99 of a request"):
        panels.chart(charts.latency(trend), key="latency")
    with right, panels.panel("Requests", "and those that failed"):
        panels.chart(charts.requests(trend), key="requests")
    left, right = st.columns(2, gap="small")
    by_model = reads.series(scope, ("cost_usd", "requests"), by="model")
    palette = colors.assign(reads.dimension_values(scope, "model"))
    with left, panels.panel("Cost by model", "US dollars a bucket"):
        panels.stacked_chart(frames.wide(by_model, scope, "model", "cost_usd"), palette, "usd", key="cost")
    with right, panels.panel("Requests by model"):
        panels.stacked_chart(frames.wide(by_model, scope, "model", "requests"), palette, "count", key="volume")


def _models(scope: Scope) -> None:
    rows = frames.named(reads.breakdown(scope, "model", COLUMNS), "model")
    table = frames.with_seconds(rows, "p50_ms", "p95_ms", "p99_ms", "ttft_p50_ms")
    with panels.panel("Models"):
        st.dataframe(
            table,
            hide_index=True,
            placeholder="–",
            row_height=32,
            column_order=["model", *COLUMNS],
            column_config={
                "model": st.column_config.TextColumn("Model", width="medium"),
                "requests": panels.bar_column("Requests", table["requests"], "localized"),
                "p50_ms": panels.duration_column("p50"),
                "p95_ms": panels.bar_column("p95", table["p95_ms"], panels.SECONDS),
                "p99_ms": panels.duration_column("p99"),
                "ttft_p50_ms": panels.duration_column("First token", "Median of streamed answers"),
                "cost_usd": panels.bar_column("Cost", table["cost_usd"], "$%.4f"),
                "error_rate": panels.rate_column("Errors"),
                "cache_hit_rate": panels.rate_column("Cache hits"),
                "tokens_per_second": st.column_config.NumberColumn("Tokens / s", format="%.1f"),
            },
        )


page("Overview", overview)
