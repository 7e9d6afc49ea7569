"""System: is the data whole? The ledger of every producer, and the collector's own health."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count
from spanwell_dashboard.untrusted import plain


def system(scope: Scope) -> None:
    health = reads.collector_health()
    ledger = reads.ledger(scope.project)
    sums = {name: int(ledger[name].sum()) if name in ledger else 0 for name in ("sent", "stored", "dropped", "missing")}
    panels.cards(
        [
            panels.card("Spans sent", count(sums["sent"]), note="Counted by the producers when they export."),
            panels.card("Spans stored", count(sums["stored"])),
            panels.card("Missing", count(sums["missing"]), note="Sent, and not stored (yet)."),
            panels.card(
                "Dropped", count(sums["dropped"]), note="Never sent: a producer's queue was full. It counts them."
            ),
        ]
    )
    with panels.panel("Ledger", "sent = stored, or the row says what is missing"):
        _ledger(ledger)
    with panels.panel("Collector", "its answer to GET /health"):
        st.json(health, expanded=True)


def _ledger(ledger: pd.DataFrame) -> None:
    if ledger.empty:
        panels.empty("No producer has sent a batch yet.", "spanwell.batch.first")
        return
    gaps = (ledger["missing"] != 0) | (ledger["dropped"] != 0)
    table = ledger.assign(
        whole=frames.chips(gaps.map({True: "gaps", False: "whole"})),
        service=[plain(name, 80) for name in ledger["service"]],
        instance=[plain(name, 80) for name in ledger["instance"]],
    )
    st.dataframe(
        table,
        hide_index=True,
        row_height=32,
        column_order=["service", "instance", "whole", "sent", "stored", "missing", "dropped"],
        column_config={
            "service": st.column_config.TextColumn("Service", width="medium"),
            "instance": st.column_config.TextColumn("Instance", width="medium"),
            "whole": st.column_config.MultiselectColumn(
                "", options=["whole", "gaps"], color=["green", "red"], width=80
            ),
            "sent": st.column_config.NumberColumn("Sent", format="localized"),
            "stored": st.column_config.NumberColumn("Stored", format="localized"),
            "missing": st.column_config.NumberColumn("Missing", format="localized"),
            "dropped": st.column_config.NumberColumn("Dropped", format="localized"),
        },
    )


page("System", system, ())
