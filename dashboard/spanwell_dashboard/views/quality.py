"""Quality: what judges and users say about the answers, and how sure that is."""

import pandas as pd
import streamlit as st

from spanwell_dashboard import charts, colors, frames, panels, reads
from spanwell_dashboard.client import Scope
from spanwell_dashboard.controls import page
from spanwell_dashboard.formatting import count, rate, rates
from spanwell_dashboard.intervals import wilson
from spanwell_dashboard.untrusted import plain

JUDGE = "judge"
LOW = 0.5
LOW_SHOWN = 50


def quality(scope: Scope) -> None:
    summary = reads.score_summary(scope, "name", "source")
    if summary.empty:
        with panels.panel("No scores in this window"):
            panels.empty(
                "Add a judge under `judges` in spanwell.yaml, or send feedback from an app.", "spanwell.score()"
            )
        return
    _cards(summary)
    left, right = st.columns(2, gap="small")
    with left:
        _over_time(scope)
    with right:
        _by_model(scope)
    with panels.panel("Scores by name and source", "a judge is a model; a user is a person"):
        _table(summary)
    _low_scored(scope)


def _cards(summary: pd.DataFrame) -> None:
    judged = summary[summary["source"] == JUDGE]
    others = summary[summary["source"] != JUDGE]
    total = int(judged["scores"].sum())
    passed = float((judged["scores"] * judged["pass_rate"]).sum())
    interval = wilson(passed, total)
    panels.cards(
        [
            panels.card(
                "Judge pass rate, uncorrected",
                rate(passed / total if total else None),
                note="Share of judged answers that passed, as the judge says. It is not corrected by human labels.",
            ),
            panels.card(
                "95% interval",
                rates(interval.low, interval.high) if total else rate(None),
                note="Wilson's interval: sampling error only, not the judge's own mistakes.",
            ),
            panels.card("Judged answers", count(total)),
            panels.card(
                "Scores from people and code",
                count(int(others["scores"].sum())),
                note="User feedback, human labels and checks in code.",
            ),
        ]
    )


def _over_time(scope: Scope) -> None:
    rows = reads.score_series(scope)
    with panels.panel("Mean score", "by name"):
        if rows.empty:
            panels.empty("No scores over time.", "spanwell.score()")
            return
        table = frames.localised(
            frames.lines_by(frames.mean_scores(rows, scope), scope, "name", "mean"), st.context.timezone
        )
        panels.chart(charts.lines(table, colors.assign(rows["name"].astype(str)), "score"), key="mean-score")


def _by_model(scope: Scope) -> None:
    rows = reads.score_summary(scope, "model", "source")
    rows = rows[rows["source"] == JUDGE] if "source" in rows else rows
    with panels.panel("Judge pass rate, uncorrected", "by model, with Wilson's 95% interval"):
        if rows.empty:
            panels.empty("No judged answers in this window.", "spanwell.purpose = judge")
            return
        bounds = [wilson(n * p, int(n)) for n, p in zip(rows["scores"], rows["pass_rate"], strict=True)]
        table = rows.assign(name=rows["model"], low=[b.low for b in bounds], high=[b.high for b in bounds])
        palette = colors.assign(reads.dimension_values(scope, "model"))
        panels.chart(charts.pass_rates(table, palette), key="pass-rates")


def _table(summary: pd.DataFrame) -> None:
    bounds = [wilson(n * p, int(n)) for n, p in zip(summary["scores"], summary["pass_rate"], strict=True)]
    table = frames.named(summary, "name", "source").assign(interval=[rates(bound.low, bound.high) for bound in bounds])
    st.dataframe(
        table,
        hide_index=True,
        row_height=32,
        column_order=["name", "source", "scores", "mean", "pass_rate", "interval"],
        column_config={
            "name": st.column_config.TextColumn("Score", width="medium"),
            "source": "Source",
            "scores": st.column_config.NumberColumn("Scores", format="localized"),
            "mean": st.column_config.NumberColumn("Mean", format="%.2f"),
            "pass_rate": panels.bar_column("Pass rate", pd.Series([1.0]), "percent"),
            "interval": "95% interval",
        },
    )


def _low_scored(scope: Scope) -> None:
    rows = reads.scores(scope)
    low = rows[rows["value"].astype(float) < LOW] if "value" in rows else rows
    with panels.panel("Scored low, newest first", "a click opens the trace"):
        if low.empty:
            panels.empty("Nothing below 0.5 in this window.")
            return
        low = low.sort_values("ts", ascending=False).head(LOW_SHOWN)
        table = frames.localised(low, st.context.timezone).copy()
        table["comment"] = [plain(text or "", 300) for text in table["comment"]]
        chosen = st.dataframe(
            frames.named(table, "name"),
            hide_index=True,
            row_height=32,
            height=min(38 + 32 * len(table), 420),
            key="low-table",
            on_select="rerun",
            selection_mode="single-cell",
            column_order=["ts", "name", "value", "source", "comment", "trace_id"],
            column_config={
                "ts": st.column_config.DatetimeColumn("Time", format="MMM D, HH:mm:ss", width=125),
                "name": "Score",
                "value": st.column_config.NumberColumn("Value", format="%.2f", width=70),
                "source": st.column_config.TextColumn("Source", width=80),
                "comment": st.column_config.TextColumn("Comment", width="large"),
                "trace_id": "Trace",
            },
        )
        if cells := chosen["selection"]["cells"]:
            row = low.iloc[cells[0][0]]
            span = {"span": str(row["span_id"])} if row["span_id"] else {}
            st.switch_page("views/trace.py", query_params={"trace": str(row["trace_id"]), **span})


page("Quality", quality, ())
