"""The controls above every page: window, filters, live. Each is bound to the URL, so a link shows the same page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString, NamedTuple

import streamlit as st

from spanwell.settings import Settings
from spanwell_dashboard import panels, reads
from spanwell_dashboard.client import ApiError, Query, Scope

# The label is what stands in the URL (?window=6+h): keep each as it is.
WINDOWS: Final = {
    "15 min": timedelta(minutes=15),
    "1 h": timedelta(hours=1),
    "6 h": timedelta(hours=6),
    "24 h": timedelta(hours=24),
    "7 d": timedelta(days=7),
}
DEFAULT_WINDOW: Final = "1 h"
LIVE_SECONDS: Final = 10
STEP_SECONDS: Final = 5
STATUSES: Final = ("ok", "error", "unset")
PLACEHOLDERS: Final = {
    "model": "All models",
    "app": "All apps",
    "user_id": "All users",
    "session_id": "All sessions",
    "status": "Any status",
}


class Controls(NamedTuple):
    """What is chosen, before the clock turns it into a `Scope`."""

    project: str
    window: timedelta
    filters: Query
    live: bool

    def scope(self, now: datetime) -> Scope:
        """The window that ends now, on a grid of seconds, so that reruns a moment apart share the cache."""
        end = _next_step(now)
        return Scope(self.project, end - self.window, end, self.filters)


def page(title: LiteralString, body: Callable[[Scope], None], dimensions: tuple[str, ...] = ("model", "app")) -> None:
    """Draw a page: title and controls once, `body` again every few seconds while the page is live."""
    chosen = _control_bar(title, dimensions)

    def draw() -> None:
        with panels.failures_explained():
            body(chosen.scope(datetime.now(UTC)))

    st.fragment(draw, run_every=LIVE_SECONDS if chosen.live else None)()


def _control_bar(title: LiteralString, dimensions: tuple[str, ...]) -> Controls:
    project = Settings.load().project
    with st.container(horizontal=True, vertical_alignment="center", key="bar", gap="small"):
        panels.page_title(title)
        badge = st.container(width="content")
        st.space("stretch")
        window = st.segmented_control(
            "Window",
            list(WINDOWS),
            default=DEFAULT_WINDOW,
            required=True,
            key="window",
            bind="query-params",
            persist_state="session",
            label_visibility="collapsed",
        )
        live = st.toggle("Live", key="live", bind="query-params", persist_state="session")
        st.button("Refresh", key="refresh", icon=":material/refresh:", on_click=st.cache_data.clear)
    chosen = Controls(project, WINDOWS[window or DEFAULT_WINDOW], (), live)
    everything = chosen.scope(datetime.now(UTC))
    with badge:
        panels.simulated_badge(everything)
    return chosen._replace(filters=_filter_bar(everything, dimensions))


def _filter_bar(scope: Scope, dimensions: tuple[str, ...]) -> Query:
    if not dimensions:
        return ()
    with st.container(horizontal=True, key="filters", gap="small"):
        return tuple((name, value) for name in dimensions for value in _choose(scope, name))


def _choose(scope: Scope, dimension: str) -> list[str]:
    return st.multiselect(
        PLACEHOLDERS[dimension],
        STATUSES if dimension == "status" else _known_values(scope, dimension),
        key=dimension,
        bind="query-params",
        persist_state="session",
        placeholder=PLACEHOLDERS[dimension],
        accept_new_options=dimension != "status",  # a link may name a value that this window does not have
        label_visibility="collapsed",
        width=210,
    )


def _known_values(scope: Scope, dimension: str) -> list[str]:
    try:
        return reads.dimension_values(scope, dimension)
    except ApiError:  # the body of the page explains it
        return []


def _next_step(now: datetime) -> datetime:
    whole = now.replace(microsecond=0)
    return whole + timedelta(seconds=STEP_SECONDS - whole.second % STEP_SECONDS)
