"""Figures: what is drawn, in which colour, and how numbers are written."""

import pandas as pd
import pytest

from spanwell_dashboard import charts
from spanwell_dashboard.colors import OTHER, RED

TIMES = pd.date_range("2026-11-20 12:00", periods=3, freq="1min", name="ts")


def test_latency_above_a_second_is_drawn_in_seconds() -> None:
    frame = pd.DataFrame({"ts": TIMES, "p50_ms": [500, 600, 700], "p95_ms": [900, 1780, 950], "p99_ms": [990, 2500, 1]})

    figure = charts.latency(frame)

    assert [trace.name for trace in figure.data] == ["p99", "p95", "p50"]
    assert figure.data[1].y[1] == pytest.approx(1.78)
    assert figure.data[1].customdata[1] == "1.78 s"
    assert figure.layout.yaxis.ticksuffix == " s"


def test_latency_below_a_second_stays_in_milliseconds() -> None:
    frame = pd.DataFrame({"ts": TIMES, "p50_ms": [5.0, 6, 7], "p95_ms": [9.0, 17, 9], "p99_ms": [9.0, 25, 1]})

    figure = charts.latency(frame)

    assert figure.layout.yaxis.ticksuffix == " ms"


def test_a_gap_in_a_line_is_not_bridged() -> None:
    figure = charts.lines(pd.DataFrame({"a": [1.0, None, 3.0]}, index=TIMES), {}, "score")

    assert not figure.data[0].connectgaps
    assert figure.data[0].customdata == ("1.00", "–", "3.00")


def test_a_group_has_the_colour_it_is_given_and_grey_without_one() -> None:
    table = pd.DataFrame({"llama": [1, 2, 3], "new": [1, 1, 1]}, index=TIMES)

    figure = charts.stacked(table, {"llama": "#123456"}, "usd")

    assert [trace.marker.color for trace in figure.data] == ["#123456", OTHER]
    assert figure.layout.barmode == "stack"


def test_errors_stand_in_red_on_the_requests_that_went_well() -> None:
    figure = charts.requests(pd.DataFrame({"ts": TIMES, "requests": [10, 20, 30], "errors": [1, 0, 3]}))

    good, failed = figure.data
    assert list(good.y) == [9, 20, 27]
    assert failed.marker.color == RED


def test_a_hostile_name_shows_as_it_was_written() -> None:
    table = pd.DataFrame({"<a href='http://x'>y</a>": [1, 2, 3]}, index=TIMES)

    figure = charts.stacked(table, {}, "count")

    assert figure.data[0].name == "&lt;a href='http://x'&gt;y&lt;/a&gt;"


def test_drifted_checks_are_red_and_alpha_is_always_in_sight() -> None:
    frame = pd.DataFrame({"ts": TIMES, "p_value": [0.6, 0.0, 0.4], "drifted": [False, True, False]})

    figure = charts.p_values(frame, alpha=0.01)

    assert figure.data[0].marker.color[1] == RED
    assert figure.data[0].y[1] > 0
    assert figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < -2 < high


def test_the_best_pass_rate_stands_at_the_top_with_its_interval() -> None:
    frame = pd.DataFrame(
        {"name": ["a", "b"], "pass_rate": [0.9, 0.6], "low": [0.8, 0.5], "high": [0.95, 0.7], "scores": [40, 90]}
    )

    figure = charts.pass_rates(frame, {})

    assert list(figure.data[0].y) == ["b", "a"]
    assert figure.data[0].error_x.arrayminus[1] == pytest.approx(0.1)
    assert "of 40" in figure.data[0].customdata[1]
