"""What pages are built of: titled panels, metric cards, empty states, and the explanation of a failure.

What Streamlit reads as Markdown is typed `LiteralString` here, and a test follows it through every page: text from
outside is for `st.text` and `st.code`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, LiteralString, NamedTuple

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from spanwell.settings import Settings
from spanwell_dashboard import charts, formatting, frames, reads
from spanwell_dashboard.client import ApiDownError, ApiError, ApiRefusedError, Scope
from spanwell_dashboard.formatting import Change
from spanwell_dashboard.untrusted import plain

SECONDS: Final = "%.3f s"
Formatter = Callable[[float], str]
Comparison = Callable[[float, float], Change | None]

CHART_CONFIG: Final = {"displayModeBar": False, "showTips": False}


def page_title(title: LiteralString) -> None:
    st.markdown(f"### {title}", width="content")


def simulated_badge(scope: Scope) -> None:
    """Say it where any span of the window was made by the demo."""
    try:
        rows = reads.overview(scope)
    except ApiError:
        return
    if "simulated" in rows and bool(rows["simulated"].any()):
        st.badge("simulated data", color="orange", icon=":material/science:")


@contextmanager
def panel(title: LiteralString, note: LiteralString = "") -> Iterator[None]:
    """A bordered box with a heading and, beside it, a quiet note."""
    with st.container(border=True, gap="small", height="stretch"):
        st.markdown(f"**{title}** :small[:gray[{note}]]" if note else f"**{title}**")
        yield


def chart(figure: go.Figure, key: str) -> None:
    st.plotly_chart(figure, key=key, config=CHART_CONFIG)


def stacked_chart(table: pd.DataFrame, palette: Mapping[str, str], unit: charts.Unit, key: str) -> None:
    """Bars over the viewer's wall-clock time; `table` has one column a group and ts as its index."""
    chart(charts.stacked(frames.localised(table, st.context.timezone), palette, unit), key)


def empty(message: LiteralString, attribute: LiteralString = "") -> None:
    """Say what is not there, and which span attribute would fill it."""
    with st.container(height=180, border=False, horizontal_alignment="center", vertical_alignment="center"):
        st.markdown(f":gray[{message}]", width="content")
        if attribute:
            st.markdown(f":small[:gray[filled by]] `{attribute}`", width="content")


class Course(NamedTuple):
    """What cards are made of: the totals of two windows, and the series of the present one."""

    totals: frames.Windows
    trend: pd.DataFrame


def cards(items: Sequence[Mapping[str, Any]]) -> None:
    """A row of metric cards; each item holds arguments of `st.metric`."""
    for column, item in zip(st.columns(len(items), gap="small"), items, strict=True):
        column.metric(**{"border": True, "height": "stretch", **item})


def card(
    label: LiteralString,
    value: str,
    *,
    delta: Change | None = None,
    good: Literal["up", "down", ""] = "",
    trend: pd.Series | None = None,
    note: LiteralString | None = None,
) -> dict[str, Any]:
    """Arguments of one card. A notable change towards `good` is green and away from it red; any other stays calm."""
    judged = {"up": "normal", "down": "inverse", "": "blue"}[good]
    points = [] if trend is None else trend.astype(float).ffill().dropna().tail(60).tolist()
    return {
        "label": label,
        "value": value,
        "delta": delta.text if delta else None,
        "delta_color": judged if delta and delta.notable else "blue",
        "chart_data": points if len(points) > 1 else None,
        "chart_type": "area",
        "help": note,
    }


def metric_card(
    course: Course,
    label: LiteralString,
    metric: str,
    spell: Formatter,
    *,
    good: Literal["up", "down", ""] = "",
    compare: Comparison = formatting.change,
    note: LiteralString | None = None,
) -> dict[str, Any]:
    """The card of one metric of the query API: its value, how it changed, and its course."""
    now, before = course.totals.now[metric], course.totals.before[metric]
    return card(label, spell(now), delta=compare(now, before), good=good, trend=course.trend[metric], note=note)


@contextmanager
def failures_explained() -> Iterator[None]:
    """Replace what is left of the page by what went wrong and what to do."""
    try:
        yield
    except ApiDownError as error:
        _explain_down(error)
    except ApiRefusedError as error:
        _explain_refusal(error)


def _explain_down(error: ApiDownError) -> None:
    with st.container(border=True):
        st.markdown("**The collector does not answer**")
        st.code(plain(error), language=None)
        st.markdown(
            "Start everything with `spanwell up`, or the collector alone with `spanwell collector`; `spanwell doctor` "
            "says what is wrong. If it listens elsewhere, set `SPANWELL_HOST` and `SPANWELL_COLLECTOR_PORT`. "
            "If it is busy, choose a shorter window. This page comes back by itself when **Live** is on."
        )


def _explain_refusal(error: ApiRefusedError) -> None:
    with st.container(border=True):
        if error.status in (401, 403):
            st.markdown("**The collector asks for its token**")
            st.markdown("Start the dashboard with the same `SPANWELL_API_TOKEN` as the collector.")
            return
        if error.status == 404:
            st.markdown("**Not found**")
            st.markdown("It may have expired, or the link names another project than this dashboard shows:")
            st.code(plain(Settings.load().project), language=None)
            return
        st.markdown("**The collector refused this question**")
        allowed = f"\nallowed: {', '.join(error.allowed)}" if error.allowed else ""
        st.code(plain(f"{error.field or 'query'}: {error}{allowed}", 2_000), language=None)
        st.markdown("Change the filters above; a link from another version may name what no longer exists.")


def duration_column(label: LiteralString, note: LiteralString | None = None) -> Any:
    """A table column of seconds."""
    return st.column_config.NumberColumn(label, format=SECONDS, help=note)


def money_column(label: LiteralString) -> Any:
    """A table column of sums, in US dollars."""
    return st.column_config.NumberColumn(label, format="$%.4f")


def small_money_column(label: LiteralString) -> Any:
    """A table column of what single calls cost: often a fraction of a hundredth of a cent."""
    return st.column_config.NumberColumn(label, format="$%.6f")


def rate_column(label: LiteralString) -> Any:
    return st.column_config.NumberColumn(label, format="percent")


def bar_column(label: LiteralString, values: pd.Series, number_format: LiteralString) -> Any:
    """A table column whose cells carry a bar, the largest value filling its cell."""
    largest = float(values.max()) if len(values) and not formatting.is_missing(float(values.max())) else 0.0
    return st.column_config.ProgressColumn(label, format=number_format, min_value=0.0, max_value=largest or 1.0)
