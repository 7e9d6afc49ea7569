"""Every question the pages ask, by name, remembered for a few seconds so that a rerun costs no query.

The project is part of each question, hence of each cache key.
"""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from spanwell.settings import Settings
from spanwell_dashboard.client import Client, Query, Scope

METRICS: Final = (
    "requests",
    "errors",
    "error_rate",
    "cost_usd",
    "saved_usd",
    "unpriced",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "tokens_per_second",
    "cache_hits",
    "cache_hit_rate",
)
FRESH_SECONDS: Final = 5
MAX_BUCKETS: Final = 100
BUCKETS_SECONDS: Final = (10, 60, 300, 900, 3600, 7200, 86_400)


@st.cache_resource(show_spinner=False, on_release=Client.close)
def _client(settings: Settings) -> Client:
    return Client.connect(settings)


@st.cache_data(ttl=FRESH_SECONDS, max_entries=256, show_spinner=False)
def _frame(settings: Settings, path: str, query: Query) -> pd.DataFrame:
    return _client(settings).frame(path, query)


@st.cache_data(ttl=FRESH_SECONDS, max_entries=128, show_spinner=False)
def _document(settings: Settings, path: str, query: Query) -> dict[str, Any]:
    return _client(settings).document(path, query)


def overview(scope: Scope) -> pd.DataFrame:
    """Two rows, `window` = current and previous, with every metric and `simulated`."""
    return _frame(Settings.load(), "overview", scope.query())


def series(scope: Scope, metrics: Sequence[str], by: str = "") -> pd.DataFrame:
    """Rows {ts, [by], metrics}, at most `MAX_BUCKETS` buckets, at most 12 groups and `other`."""
    width = ("bucket_seconds", str(bucket_seconds(scope)))
    return _frame(Settings.load(), "series", scope.query(*_metrics(metrics), *_by(by), width))


def breakdown(scope: Scope, by: str, metrics: Sequence[str], limit: int = 50) -> pd.DataFrame:
    """Rows {by, metrics}, the first metric descending."""
    return _frame(Settings.load(), "breakdown", scope.query(*_metrics(metrics), ("by", by), ("limit", str(limit))))


def dimension_values(scope: Scope, name: str) -> list[str]:
    """The values of a dimension in the window, most requests first, whatever the filters say."""
    rows = _frame(Settings.load(), f"dimensions/{name}/values", scope._replace(filters=()).query())
    return [str(value) for value in rows["value"] if value] if "value" in rows else []


def traces(scope: Scope, *more: tuple[str, str]) -> tuple[pd.DataFrame, str | None]:
    """A page of traces, newest first, and the cursor of the next page."""
    rows = _frame(Settings.load(), "traces", scope.query(*more))
    return rows, rows.attrs.get("next")


def trace_spans(project: str, trace_id: str) -> pd.DataFrame:
    """Every span of a trace, without texts, ordered by start."""
    return _frame(Settings.load(), f"traces/{trace_id}", (("project", project),))


def span_detail(project: str, trace_id: str, span_id: str) -> dict[str, Any]:
    """{"span", "input", "output", "scores"} of one span."""
    return _document(Settings.load(), f"traces/{trace_id}/spans/{span_id}", (("project", project),))


def scores(scope: Scope) -> pd.DataFrame:
    """The newest scores of the window. Like all that follows here, it knows no filters."""
    return _frame(Settings.load(), "scores", scope.window(("limit", "2000")))


def score_summary(scope: Scope, *dimensions: str) -> pd.DataFrame:
    """Rows {dimensions, scores, mean, pass_rate}."""
    return _frame(Settings.load(), "scores/summary", scope.window(*(("by", name) for name in dimensions)))


def score_series(scope: Scope) -> pd.DataFrame:
    """Rows {ts, name, scores, mean}."""
    return _frame(Settings.load(), "scores/series", scope.window(("by", "name")))


def drift_checks(scope: Scope) -> pd.DataFrame:
    return _frame(Settings.load(), "drift", scope.window(("limit", "5000")))


def alert_events(scope: Scope) -> pd.DataFrame:
    return _frame(Settings.load(), "alerts/events", scope.window(("limit", "2000")))


def ledger(project: str) -> pd.DataFrame:
    """Rows {service, instance, sent, stored, dropped, missing}."""
    return _frame(Settings.load(), "ledger", (("project", project),))


def collector_health() -> dict[str, Any]:
    return _client(Settings.load()).health()


def bucket_seconds(scope: Scope) -> int:
    """The shortest round bucket that leaves each bar of a chart wide enough to point at."""
    length_s = (scope.end - scope.start).total_seconds()
    return next((width for width in BUCKETS_SECONDS if length_s / width <= MAX_BUCKETS), BUCKETS_SECONDS[-1])


def _metrics(names: Sequence[str]) -> Query:
    return tuple(("metric", name) for name in names)


def _by(dimension: str) -> Query:
    return (("by", dimension),) if dimension else ()
