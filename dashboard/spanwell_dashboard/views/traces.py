"""Traces: find one by what is known of it; a click opens it."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from spanwell_dashboard import frames, panels, reads
from spanwell_dashboard.client import Query, Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.untrusted import plain

PAGE_SIZE = 50
CURSORS = "trace-cursors"
COLUMNS = (
    "ts",
    "name",
    "status",
    "duration_ms",
    "cost_usd",
    "models",
    "app",
    "user_id",
    "spans",
    "input_tokens",
    "output_tokens",
    "session_id",
)


def traces(scope: Scope) -> None:
    search, paging = _search_bar()
    cursors = _cursors(scope, search)
    cursor: Query = (("cursor", cursors[-1]),) if cursors else ()
    rows, following = reads.traces(scope, ("limit", str(PAGE_SIZE)), *search, *cursor)
    if rows.empty:
        with panels.panel("No traces"):
            panels.empty("Nothing in this window matches. Choose a longer one, or drop a filter.", "trace_id")
        return
    with paging:
        _paging(cursors, following, len(rows))
    _table(rows)


def _search_bar() -> tuple[Query, DeltaGenerator]:
    """What is searched for, and the place beside it where paging goes once the rows are known."""
    with st.container(horizontal=True, key="search-bar", gap="small"):
        text = st.text_input(
            "Text",
            key="search",
            bind="query-params",
            persist_state="session",
            placeholder="Search prompts and outputs",
            label_visibility="collapsed",
            icon=":material/search:",
            max_chars=200,
            width=420,
        )
        slower = st.number_input(
            "Slower than",
            min_value=0,
            value=None,
            step=100,
            key="min_ms",
            bind="query-params",
            persist_state="session",
            placeholder="Slower than … ms",
            label_visibility="collapsed",
            width=200,
        )
        st.space("stretch")
        paging = st.container(horizontal=True, width="content", vertical_alignment="center", gap="small")
    wanted = (("search", text or ""), ("min_duration_ms", str(slower or "")))
    return tuple((name, value) for name, value in wanted if value), paging


def _cursors(scope: Scope, search: Query) -> list[str]:
    """Cursors of the pages passed so far; another question starts at the first page."""
    question = (scope.end - scope.start, scope.filters, search)
    if st.session_state.get("trace-question") != question:
        st.session_state["trace-question"] = question
        st.session_state[CURSORS] = []
    cursors: list[str] = st.session_state[CURSORS]
    return cursors


def _table(rows: pd.DataFrame) -> None:
    table = frames.with_seconds(frames.localised(rows, st.context.timezone), "duration_ms")
    for name in ("name", "app", "user_id", "session_id"):
        table[name] = [plain(value or "", 120) for value in table[name]]
    table["status"] = frames.chips(table["status"])
    chosen = st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        height=min(38 + 32 * len(table), 820),
        row_height=32,
        key="trace-table",
        on_select="rerun",
        selection_mode="single-cell",
        column_order=COLUMNS,
        column_config={
            "ts": st.column_config.DatetimeColumn("Time", format="MMM D, HH:mm:ss", width=120),
            "name": st.column_config.TextColumn("Name", width=160),
            "status": st.column_config.MultiselectColumn(
                "Status", options=["ok", "error", "unset"], color=["green", "red", "gray"], width=70
            ),
            "duration_ms": panels.bar_column("Duration", table["duration_ms"], panels.SECONDS),
            "models": st.column_config.ListColumn("Models", width=130),
            "app": st.column_config.TextColumn("App", width=100),
            "user_id": st.column_config.TextColumn("User", width=80),
            "session_id": st.column_config.TextColumn("Session", width=170),
            "spans": st.column_config.NumberColumn("Spans", width=55),
            "input_tokens": st.column_config.NumberColumn("Tokens in", format="localized", width=80),
            "output_tokens": st.column_config.NumberColumn("Tokens out", format="localized", width=85),
            "cost_usd": panels.small_money_column("Cost"),
        },
    )
    if cells := chosen["selection"]["cells"]:
        trace_id = str(rows.iloc[cells[0][0]]["trace_id"])
        st.switch_page("views/trace.py", query_params={"trace": trace_id})


def _back(cursors: list[str]) -> None:
    cursors.pop()


def _paging(cursors: list[str], following: str | None, shown: int) -> None:
    first = len(cursors) * PAGE_SIZE
    with st.container(key="quiet-paging", width="content"):
        st.text(f"{first + 1:,} to {first + shown:,}")
    st.button("Newer", icon=":material/chevron_left:", on_click=_back, args=(cursors,), disabled=not cursors)
    st.button(
        "Older",
        icon=":material/chevron_right:",
        on_click=cursors.append,
        args=(following,),
        disabled=following is None,
    )


page("Traces", traces, ("model", "app", "status", "user_id", "session_id"))
