"""Figures: pure functions of a DataFrame. Colours are given, labels are escaped, numbers carry their units."""

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

import pandas as pd
import plotly.graph_objects as go

from spanwell_dashboard import formatting
from spanwell_dashboard.colors import AMBER, BLUE, GRAY, OTHER, RED, TEAL
from spanwell_dashboard.untrusted import label

Unit = Literal["ms", "usd", "count", "rate", "score"]

HEIGHT: Final = 260
LEGEND: Final = {
    "orientation": "h",
    "x": 0,
    "y": 0,
    "yref": "container",
    "yanchor": "bottom",
    "traceorder": "normal",
    "itemsizing": "constant",
    "font": {"size": 11},
    "title": None,
}
SPARSE_POINTS: Final = 60  # below this, points get a marker, so that a lone one is seen
TEXT: Final[Mapping[Unit, Callable[[float], str]]] = {
    "ms": formatting.duration,
    "usd": formatting.money,
    "count": formatting.count,
    "rate": formatting.rate,
    "score": formatting.score,
}


def latency(frame: pd.DataFrame) -> go.Figure:
    """Percentiles over time; `frame` has ts, p50_ms, p95_ms, p99_ms."""
    table = frame.set_index("ts")[["p99_ms", "p95_ms", "p50_ms"]]
    table.columns = pd.Index(["p99", "p95", "p50"])
    return lines(table, {"p50": BLUE, "p95": AMBER, "p99": RED}, "ms")


def lines(table: pd.DataFrame, colors: Mapping[str, str], unit: Unit) -> go.Figure:
    """One line a column; the index is time. Gaps stay gaps."""
    figure = go.Figure()
    scale = _scale(table, unit)
    for name in table.columns:
        values = table[name].astype(float)
        figure.add_scatter(
            x=table.index,
            y=values / scale,
            name=label(name),
            mode="lines+markers" if values.count() <= SPARSE_POINTS else "lines",
            line={"width": 1.8, "color": colors.get(str(name), OTHER)},
            marker={"size": 4},
            customdata=_texts(values, unit),
            hovertemplate="%{customdata}",
        )
    return _finish(figure, unit, scale)


def stacked(table: pd.DataFrame, colors: Mapping[str, str], unit: Unit) -> go.Figure:
    """Bars on top of each other, one colour a column; the index is time."""
    figure = go.Figure()
    for name in table.columns:
        values = table[name].astype(float)
        figure.add_bar(
            x=table.index,
            y=values,
            name=label(name),
            marker={"color": colors.get(str(name), OTHER), "line": {"width": 0}},
            customdata=_texts(values, unit),
            hovertemplate="%{customdata}",
        )
    # A lone group has a legend too: nothing else on the chart names it.
    return _finish(figure, unit, 1.0).update_layout(barmode="stack", bargap=0.18, showlegend=True)


def requests(frame: pd.DataFrame) -> go.Figure:
    """Requests that went well and those that failed; `frame` has ts, requests, errors."""
    table = frame.set_index("ts")
    good = table["requests"].astype(float) - table["errors"].astype(float)
    return stacked(
        pd.DataFrame({"ok": good, "errors": table["errors"].astype(float)}), {"ok": BLUE, "errors": RED}, "count"
    )


def cache_use(frame: pd.DataFrame) -> go.Figure:
    """Requests answered from the cache beside the others; `frame` has ts, requests, cache_hits."""
    table = frame.set_index("ts")
    hits = table["cache_hits"].astype(float)
    return stacked(
        pd.DataFrame({"hits": hits, "no hit": table["requests"].astype(float) - hits}),
        {"hits": TEAL, "no hit": GRAY},
        "count",
    )


def p_values(frame: pd.DataFrame, alpha: float) -> go.Figure:
    """p-values of drift checks on a log axis; `frame` has ts, p_value, drifted. Below the line, prompts changed."""
    figure = go.Figure()
    floored = frame["p_value"].astype(float).clip(lower=1e-12)  # a permutation test can say 0, a log axis cannot
    figure.add_scatter(
        x=frame["ts"],
        y=floored,
        name="p-value",
        mode="lines+markers",
        line={"width": 1.5, "color": GRAY},
        marker={
            "size": [10 if drifted else 5 for drifted in frame["drifted"]],
            "opacity": 1,
            "color": [RED if drifted else BLUE for drifted in frame["drifted"]],
        },
        customdata=[
            f"p = {formatting.probability(p)}{', drifted' if drifted else ''}"
            for p, drifted in zip(frame["p_value"].astype(float), frame["drifted"], strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_hline(y=alpha, line={"color": RED, "width": 1, "dash": "dash"})
    figure.add_annotation(
        text=f"α = {alpha:g}",
        x=0,
        xref="paper",
        xanchor="left",
        y=math.log10(alpha),  # annotations on a log axis are placed by exponent, unlike lines
        yanchor="bottom",
        showarrow=False,
        font={"color": RED, "size": 11},
    )
    _finish(figure, "count", 1.0)
    lowest = math.log10(min(float(floored.min()), alpha))
    powers = range(math.floor(lowest), 1, max(1, -math.floor(lowest) // 5))
    return figure.update_layout(
        showlegend=False,
        hovermode="closest",
        yaxis={
            "type": "log",
            "range": [lowest - 0.4, 0.25],
            "tickformat": None,
            "tickvals": [10.0**power for power in powers],
            "ticktext": [formatting.probability(10.0**power) for power in powers],
        },
    )


def pass_rates(frame: pd.DataFrame, colors: Mapping[str, str]) -> go.Figure:
    """A dot a row with its 95% interval; `frame` has name, pass_rate, low, high, scores; best at the top."""
    ordered = frame.sort_values("pass_rate")
    figure = go.Figure()
    figure.add_scatter(
        x=ordered["pass_rate"],
        y=[label(name) for name in ordered["name"]],
        mode="markers",
        marker={"size": 10, "color": [colors.get(str(name), OTHER) for name in ordered["name"]]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": ordered["high"] - ordered["pass_rate"],
            "arrayminus": ordered["pass_rate"] - ordered["low"],
            "color": GRAY,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=_pass_rate_texts(ordered),
        hovertemplate="%{customdata}<extra></extra>",
    )
    _finish(figure, "rate", 1.0)
    return figure.update_layout(
        showlegend=False,
        hovermode="closest",
        height=max(HEIGHT, 60 + 30 * len(ordered)),
        xaxis={"range": [-0.02, 1.02], "tickformat": ".0%", "showgrid": True, "zeroline": False},
        yaxis={"tickformat": None, "rangemode": "normal", "automargin": True, "showgrid": False},
    )


def _pass_rate_texts(frame: pd.DataFrame) -> list[str]:
    columns = (frame[name].astype(float) for name in ("pass_rate", "scores", "low", "high"))
    return [
        f"{formatting.rate(share)} of {formatting.count(scores)} "
        f"(95%: {formatting.rate(low)} to {formatting.rate(high)})"
        for share, scores, low, high in zip(*columns, strict=True)
    ]


def _scale(table: pd.DataFrame, unit: Unit) -> float:
    """What the axis divides by: milliseconds become seconds once there is a second to show."""
    largest = table.max(numeric_only=True).max() if len(table) else 0.0
    return 1000.0 if unit == "ms" and largest >= 1000 else 1.0


def _texts(values: pd.Series, unit: Unit) -> list[str]:
    return [TEXT[unit](float(value)) for value in values]


def _finish(figure: go.Figure, unit: Unit, scale: float) -> go.Figure:
    axis = {
        "ms": {"ticksuffix": " s" if scale > 1 else " ms"},
        "usd": {"tickprefix": "$", "exponentformat": "none"},
        "count": {"tickformat": "~s"},
        "rate": {"tickformat": ".0%" if _largest(figure) > 0.05 else ".1%"},
        "score": {"tickformat": ".2f"},
    }[unit]
    return figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        hovermode="x unified",
        dragmode="zoom",
        showlegend=len(figure.data) > 1,
        legend=LEGEND,
        xaxis={"title": None, "showgrid": False, "tickformat": "%H:%M\n%b %-d", "hoverformat": "%b %-d, %H:%M:%S"},
        yaxis={"title": None, "rangemode": "tozero", "automargin": True, "nticks": 6, "fixedrange": True, **axis},
    )


def _largest(figure: go.Figure) -> float:
    values = [float(value) for trace in figure.data for value in trace.y if isinstance(value, int | float)]
    known = [value for value in values if not formatting.is_missing(value)]
    return max(known, default=0.0)
