"""One trace: the waterfall, and beside it the span that is selected. Reached by ?trace=<id>&span=<id>."""

import re
from typing import Any

import pandas as pd
import streamlit as st

from spanwell.conventions import CALLS
from spanwell.settings import Settings
from spanwell_dashboard import panels, reads, waterfall
from spanwell_dashboard.formatting import count, duration, money
from spanwell_dashboard.messages import Block, blocks
from spanwell_dashboard.tree import Row, Span, arrange
from spanwell_dashboard.untrusted import MAX_TEXT_CHARS, fold_blobs, plain

TRACE_ID = re.compile(r"[0-9a-f]{32}")
SPAN_ID = re.compile(r"[0-9a-f]{16}")
HEIGHT_PX = 640
FACTS = (
    ("model", "Model"),
    ("request_model", "Asked for"),
    ("provider", "Provider"),
    ("deployment", "Deployment"),
    ("app", "App"),
    ("user_id", "User"),
    ("session_id", "Session"),
    ("team", "Team"),
    ("key_id", "Key"),
    ("finish_reason", "Finish reason"),
    ("cache", "Cache"),
    ("attempts", "Attempts"),
    ("purpose", "Purpose"),
    ("error_type", "Error"),
    ("status_message", "Message"),
)


def trace() -> None:
    st.page_link("views/traces.py", label="Traces", icon=":material/arrow_back:")
    trace_id = st.query_params.get("trace", "")
    if not TRACE_ID.fullmatch(trace_id):
        with panels.panel("No trace chosen"):
            panels.empty("A trace id has 32 hexadecimal digits. Choose a trace from the list.")
        return
    with panels.failures_explained():
        spans = reads.trace_spans(Settings.load().project, trace_id)
        rows = arrange(_spans(spans))
        _heading(spans, rows, trace_id)
        st.fragment(_panes)(trace_id, rows)


def _spans(frame: pd.DataFrame) -> list[Span]:
    start_ms = frame["ts"].astype("datetime64[us, UTC]").astype("int64") / 1000
    columns = ("span_id", "parent_span_id", "name", "operation", "status")
    texts = [frame[name].astype(str).tolist() for name in columns]
    return [Span(*values) for values in zip(*texts, start_ms, frame["duration_ms"].astype(float), strict=True)]


def _heading(spans: pd.DataFrame, rows: list[Row], trace_id: str) -> None:
    root = rows[0].span
    with st.container(horizontal=True, vertical_alignment="center", key="trace-head"):
        with st.container(key="trace-name", width="content"):
            st.text(plain(root.name, 120))
        if bool(spans["simulated"].any()):
            st.badge("simulated data", color="orange", icon=":material/science:")
        failed = int((spans["status"] == "error").sum())
        if failed:
            st.badge("has errors", color="red", icon=":material/error:")
    with st.container(key="quiet-trace-id"):
        st.text(f"{trace_id} · {spans['ts'].min():%Y-%m-%d %H:%M:%S} UTC")
    end = max(row.span.start_ms + row.span.duration_ms for row in rows)
    calls = spans[spans["operation"].isin(CALLS) & (spans["purpose"] == "")]
    panels.cards(
        [
            panels.card("Duration", duration(end - min(row.span.start_ms for row in rows))),
            panels.card("Spans", count(len(rows))),
            panels.card("LLM calls", count(len(calls))),
            panels.card("Tokens in", count(float(calls["input_tokens"].sum()))),
            panels.card("Tokens out", count(float(calls["output_tokens"].sum()))),
            panels.card("Cost", money(float(calls["cost_usd"].astype(float).sum()))),
            panels.card("Failed spans", count(failed)),
        ]
    )


def _panes(trace_id: str, rows: list[Row]) -> None:
    asked = st.query_params.get("span", "")
    first_call = next((row.span.span_id for row in rows if row.span.operation == "chat"), rows[0].span.span_id)
    left, right = st.columns([11, 9], gap="small")
    with left, st.container(border=True, height="stretch"):
        chosen = waterfall.draw(rows, asked or first_call, HEIGHT_PX, key=f"waterfall-{trace_id}")
    if SPAN_ID.fullmatch(chosen) and chosen != first_call:
        st.query_params["span"] = chosen
    with right, st.container(border=True), panels.failures_explained():
        _span(reads.span_detail(Settings.load().project, trace_id, chosen))


def _span(detail: dict[str, Any]) -> None:
    span = detail["span"]
    with st.container(key="span-name"):
        st.text(plain(span.get("name"), 200))
    with st.container(key="quiet-span"):
        st.text(_one_line(span))
    messages, attributes, scores = st.tabs(["Messages", "Attributes", "Scores"])
    with messages:
        _messages(detail)
    with attributes:
        facts = {title: plain(span[name], 2_000) for name, title in FACTS if span.get(name)}
        st.json({**facts, **(span.get("attributes") or {})}, expanded=True)
        st.json({"resource": span.get("resource") or {}, "events": span.get("events") or []}, expanded=False)
    with scores:
        _scores(detail.get("scores") or [])


def _one_line(span: dict[str, Any]) -> str:
    tokens = f"{count(span.get('input_tokens') or 0)} → {count(span.get('output_tokens') or 0)} tokens"
    facts = [
        plain(span.get("model") or "", 60),
        duration(span.get("duration_ms")),
        f"first token {duration(span['ttft_ms'])}" if span.get("ttft_ms") is not None else "",
        tokens if span.get("input_tokens") or span.get("output_tokens") else "",
        money(float(span["cost_usd"])) if span.get("cost_usd") is not None else "",
        f"cache {span['cache']}" if span.get("cache") else "",
        plain(span.get("error_type") or "", 60),
    ]
    return " · ".join(fact for fact in facts if fact)


def _messages(detail: dict[str, Any]) -> None:
    texts = {"input": str(detail.get("input") or ""), "output": str(detail.get("output") or "")}
    turns = [block for text in texts.values() for block in blocks(text)]
    if not turns:
        panels.empty("This span carries no texts.", "gen_ai.input.messages")
        return
    with st.container(key="turns"):
        for number, block in enumerate(turns):
            _turn(number, block)
    for name, text in texts.items():
        if len(text) > MAX_TEXT_CHARS:
            st.download_button("Download the full text", text, file_name=f"{name}.json", key=f"download-{name}")


def _turn(number: int, block: Block) -> None:
    with st.container(key=f"block-{block.role}-{number}", gap=None):
        with st.container(key=f"speaker-{number}"):
            st.text(block.title)
        if block.is_json:
            st.code(block.text, language="json", wrap_lines=True)
        else:
            st.text(block.text)


def _scores(rows: list[dict[str, Any]]) -> None:
    if not rows:
        panels.empty("Nobody has scored this span: neither a judge nor a user.", "POST /api/v1/scores")
        return
    for row in rows:
        with st.container(border=True, gap=None):
            st.text(
                f"{plain(row.get('name'), 60)}: {float(row.get('value') or 0):.2f}  ({plain(row.get('source'), 20)})"
            )
            if row.get("comment"):
                st.text(plain(fold_blobs(str(row["comment"])), 4_000))


trace()
