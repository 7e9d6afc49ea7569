"""Drift: did the prompts change? One test a window and a segment, with its p-value."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import charts, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count, probability
from spanwell_dashboard.untrusted import fold_blobs, plain

MAX_EXAMPLE_CHARS = 2_000


def drift(scope: Scope) -> None:
    checks = reads.drift_checks(scope)
    if checks.empty:
        with panels.panel("No drift checks in this window"):
            panels.empty(
                "The worker compares recent prompts with earlier ones once both have enough sessions.", "session.id"
            )
        return
    latest = checks.sort_values("ts").groupby("segment", observed=True).tail(1).sort_values("p_value")
    _cards(checks, latest)
    with panels.panel("Segments", "the latest check of each"):
        _segments(latest)
    for segment in latest["segment"].head(6):
        _segment(checks[checks["segment"] == segment].sort_values("ts"))


def _cards(checks: pd.DataFrame, latest: pd.DataFrame) -> None:
    panels.cards(
        [
            panels.card("Segments", count(len(latest))),
            panels.card("Drifted now", count(int(latest["drifted"].sum())), note="Latest check below α."),
            panels.card("Checks", count(len(checks))),
            panels.card("Checks that found drift", count(int(checks["drifted"].sum()))),
            panels.card("Smallest p-value", probability(float(checks["p_value"].min()))),
        ]
    )


def _segments(latest: pd.DataFrame) -> None:
    table = frames.named(frames.localised(latest, st.context.timezone), "segment", missing="(all)")
    st.dataframe(
        table.assign(
            verdict=frames.chips(table["drifted"].map({True: "drifted", False: "as before"})),
            p=[probability(float(p)) for p in table["p_value"]],
        ),
        hide_index=True,
        row_height=32,
        column_order=["segment", "verdict", "p", "statistic", "sessions_reference", "sessions_current", "ts"],
        column_config={
            "segment": st.column_config.TextColumn("Segment", width="medium"),
            "verdict": st.column_config.MultiselectColumn(
                "Verdict", options=["drifted", "as before"], color=["red", "green"]
            ),
            "p": "p-value",
            "statistic": st.column_config.NumberColumn("Statistic", format="%.4f"),
            "sessions_reference": st.column_config.NumberColumn("Sessions before", format="localized"),
            "sessions_current": st.column_config.NumberColumn("Sessions now", format="localized"),
            "ts": st.column_config.DatetimeColumn("Checked", format="MMM D, HH:mm:ss"),
        },
    )


def _segment(checks: pd.DataFrame) -> None:
    drifted = checks[checks["drifted"]]
    shown = drifted.iloc[-1] if len(drifted) else checks.iloc[-1]
    name = plain(shown["segment"] or "(all)", 80)
    with st.container(border=True, gap="small"):
        with st.container(key=f"heading-{name}"):
            st.text(name)
        st.text(sentence(shown))
        left, right = st.columns([3, 2], gap="medium")
        with left:
            times = frames.localised(checks, st.context.timezone)
            panels.chart(charts.p_values(times, float(shown["alpha"])), key=f"p-{name}")
        with right:
            _evidence(shown)


def sentence(check: pd.Series) -> str:
    """What the check found, in one sentence; hostile parts are left out, and it goes to `st.text` all the same."""
    now, before = count(check["sessions_current"]), count(check["sessions_reference"])
    p, alpha = probability(float(check["p_value"])), f"{float(check['alpha']):g}"
    if check["drifted"]:
        return (
            f"At {check['ts']:%b %d, %H:%M} UTC the prompts of {now} sessions differed from those of {before} earlier "
            f"sessions: were nothing different, so large a gap would come up with probability {p}, below α = {alpha}."
        )
    return (
        f"The prompts of the latest {now} sessions look like those of {before} earlier sessions: "
        f"p = {p}, not below α = {alpha}."
    )


def _evidence(check: pd.Series) -> None:
    if not check["drifted"]:
        panels.empty("No drift, so there is nothing to explain.")
        return
    st.markdown(":small[:gray[Terms that moved]]")
    with st.container(key=f"terms-{plain(check['segment'], 80)}"):
        st.text(" · ".join(plain(term, 60) for term in check["terms"]) or "none that can be named")
    st.markdown(":small[:gray[Prompts that show it]]")
    for example in list(check["examples"])[:3]:
        st.code(plain(fold_blobs(str(example)), MAX_EXAMPLE_CHARS), language=None, wrap_lines=True)


page("Drift", drift, ())
