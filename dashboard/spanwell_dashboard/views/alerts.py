"""Alerts: what fires now, what fired, and whether the receiver got word of it."""

from datetime import timedelta

import pandas as pd
import streamlit as st

from spanwell_dashboard import frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count
from spanwell_dashboard.untrusted import plain

REMEMBERED = timedelta(days=30)  # what fires may have begun long before the window
SHOWN_ELSEWHERE = ("alertname", "severity")  # labels that have a place of their own


def alerts(scope: Scope) -> None:
    known = reads.alert_events(scope._replace(start=scope.end - REMEMBERED))
    if known.empty:
        with panels.panel("No alerts"):
            panels.empty("No rule has fired in the last 30 days. Rules stand under `alerts` in spanwell.yaml.")
        return
    latest = known.sort_values("ts").groupby(["rule", "fingerprint"], observed=True).tail(1)
    firing = latest[latest["state"] == "firing"].sort_values("ts", ascending=False)
    events = known[known["ts"] >= scope.start]
    panels.cards(
        [
            panels.card("Firing now", count(len(firing))),
            panels.card("Fired", count(int((events["state"] == "firing").sum()))),
            panels.card("Recovered", count(int((events["state"] == "resolved").sum()))),
            panels.card("Delivered", count(int((events["delivery"] == "delivered").sum()))),
            panels.card(
                "Not delivered",
                count(int(events["delivery"].isin(["failed", "pending"]).sum())),
                note="Webhooks that failed, or still wait for their next try.",
            ),
        ]
    )
    with panels.panel("Firing now"):
        if firing.empty:
            panels.empty("Nothing fires.")
        for _, event in firing.iterrows():
            _firing(event)
    with panels.panel("History", "newest first"):
        if events.empty:
            panels.empty("No rule fired or recovered in this window.")
        else:
            _history(events)


def _firing(event: pd.Series) -> None:
    with st.container(border=True, gap=None):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("firing", color="red", icon=":material/notifications_active:")
            with st.container(key=f"heading-{plain(event['fingerprint'], 40)}", width="content"):
                st.text(plain(event["rule"], 80))
        st.text(plain(event["summary"], 500))
        with st.container(key=f"quiet-{plain(event['fingerprint'], 40)}"):
            st.text(
                f"since {event['ts']:%b %d, %H:%M:%S} UTC · {plain(event['severity'], 20)} · "
                f"{labels_text(event['labels'])} · {plain(event['delivery'], 20)} to {plain(event['receiver'], 40)}"
            )


def labels_text(labels: object) -> str:
    """Labels as `model=llama, app=chat`, from an object or from Arrow's list of pairs."""
    pairs = labels.items() if isinstance(labels, dict) else labels if isinstance(labels, list) else []
    told = ((plain(name, 40), plain(value, 60)) for name, value in pairs if name not in SHOWN_ELSEWHERE)
    return ", ".join(f"{name}={value}" for name, value in told)


def _history(events: pd.DataFrame) -> None:
    table = frames.localised(events.sort_values("ts", ascending=False), st.context.timezone)
    table = table.assign(
        state=frames.chips(table["state"]),
        delivery=frames.chips(table["delivery"]),
        labels=[labels_text(labels) for labels in table["labels"]],
    )
    st.dataframe(
        table,
        hide_index=True,
        row_height=32,
        column_order=[
            "ts",
            "state",
            "rule",
            "severity",
            "labels",
            "value",
            "threshold",
            "delivery",
            "receiver",
            "summary",
        ],
        column_config={
            "ts": st.column_config.DatetimeColumn("Time", format="MMM D, HH:mm:ss", width=125),
            "state": st.column_config.MultiselectColumn(
                "State", options=["firing", "resolved"], color=["red", "green"], width=85
            ),
            "rule": "Rule",
            "severity": st.column_config.TextColumn("Severity", width=80),
            "labels": st.column_config.TextColumn("Labels", width=230),
            "value": st.column_config.NumberColumn("Value", format="%.5g", width=80),
            "threshold": st.column_config.NumberColumn("Threshold", format="%.5g", width=80),
            "summary": st.column_config.TextColumn("Summary", width=300),
            "delivery": st.column_config.MultiselectColumn(
                "Delivery",
                options=["delivered", "pending", "failed", "none"],
                color=["green", "orange", "red", "gray"],
                width=90,
            ),
            "receiver": "Receiver",
        },
    )


page("Alerts", alerts, ())
