"""Every page, run as a script against a canned collector: what it shows, and what it says when there is nothing."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.canned import BIG_TRACE_ID, TANGLED_TRACE_ID, TRACE_ID, Canned
from tests.dashboard.conftest import OpenPage

PAGES = ("overview", "traces", "cost", "cache", "quality", "drift", "alerts", "system")


def markdown_of(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def texts_of(app: AppTest) -> str:
    return "\n".join(element.value for element in app.text)


def metric(app: AppTest, label: str) -> str:
    return next(str(element.value) for element in app.metric if element.label == label)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs(open_page: OpenPage, name: str) -> None:
    app = open_page(name)

    assert not app.exception
    assert "simulated data" in markdown_of(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_data_says_so(open_page: OpenPage, collector: Canned, name: str) -> None:
    collector.empty = True

    app = open_page(name)

    assert not app.exception
    assert "No " in markdown_of(app)


@pytest.mark.parametrize("name", [*PAGES, "trace"])
def test_a_collector_that_is_down_is_explained(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SPANWELL_COLLECTOR_PORT", "1")

    app = open_page(name, trace=TRACE_ID)

    assert not app.exception
    assert "The collector does not answer" in markdown_of(app)
    assert "spanwell up" in markdown_of(app)


def test_a_missing_token_is_explained(open_page: OpenPage, collector: Canned) -> None:
    collector.refuse_status = 401

    app = open_page("overview")

    assert "SPANWELL_API_TOKEN" in markdown_of(app)


def test_a_refused_question_names_the_field_and_what_is_allowed(open_page: OpenPage, collector: Canned) -> None:
    collector.refuse_status = 400

    app = open_page("cost")

    assert "metric: no such metric" in app.code[0].value
    assert "requests, cost_usd" in app.code[0].value


def test_overview_shows_the_numbers_of_the_api(open_page: OpenPage) -> None:
    app = open_page("overview")

    assert [element.label for element in app.metric] == [
        "Requests",
        "Cost",
        "p95 latency",
        "First token",
        "Error rate",
        "Cache hit rate",
        "Tokens / s",
    ]
    assert metric(app, "p95 latency").endswith(" s")
    assert metric(app, "Cost").startswith("$")


def test_the_window_in_the_url_is_the_window_shown(open_page: OpenPage) -> None:
    app = open_page("overview", window="24 h")

    assert app.segmented_control(key="window").value == "24 h"


def test_a_filter_in_the_url_reaches_the_api(open_page: OpenPage, collector: Canned) -> None:
    app = open_page("overview", model="a model this window does not have")

    assert app.multiselect(key="model").value == ["a model this window does not have"]
    assert "model=a+model+this+window+does+not+have" in collector.questions("overview")[-1]


def test_the_cache_page_shows_hits_and_requests_as_the_api_says(open_page: OpenPage) -> None:
    app = open_page("cache")

    assert metric(app, "Hits") == "1,951"
    assert metric(app, "Hit rate") == "18.0%"


def test_older_traces_are_a_page_further(open_page: OpenPage, collector: Canned) -> None:
    app = open_page("traces")

    app.button[-1].click().run()

    assert "cursor=cursor-2" in collector.questions("traces")[-1]
    assert "51 to 100" in texts_of(app)


def test_a_search_starts_at_the_first_page_again(open_page: OpenPage, collector: Canned) -> None:
    app = open_page("traces")
    app.button[-1].click().run()

    app.text_input(key="search").set_value("refund").run()

    assert "search=refund" in collector.questions("traces")[-1]
    assert "cursor" not in collector.questions("traces")[-1]


def test_a_trace_shows_prompt_and_completion_as_text_only(open_page: OpenPage, collector: Canned) -> None:
    app = open_page("trace", trace=TRACE_ID)

    assert f"What is the refund window for EU customers? {collector.hostile}" in texts_of(app)
    assert f"14 days from delivery. {collector.hostile}" in texts_of(app)
    assert "leak.png" not in markdown_of(app)


def test_a_span_in_the_url_is_the_one_shown(open_page: OpenPage) -> None:
    app = open_page("trace", trace=TRACE_ID, span="0000000000000002")

    assert "retrieve" in texts_of(app)
    assert "carries no texts" in markdown_of(app)


@pytest.mark.parametrize(("trace_id", "spans"), [(BIG_TRACE_ID, "5,000"), (TANGLED_TRACE_ID, "3")])
def test_large_and_tangled_traces_render(open_page: OpenPage, trace_id: str, spans: str) -> None:
    app = open_page("trace", trace=trace_id)

    assert not app.exception
    assert metric(app, "Spans") == spans


@pytest.mark.parametrize("trace_id", ["f" * 32, "../../health", ""])
def test_a_trace_that_is_not_there_is_explained(open_page: OpenPage, trace_id: str) -> None:
    app = open_page("trace", trace=trace_id)

    assert not app.exception
    assert "Not found" in markdown_of(app) or "No trace chosen" in markdown_of(app)


def test_quality_calls_the_judges_rate_uncorrected(open_page: OpenPage) -> None:
    app = open_page("quality")

    assert metric(app, "Judge pass rate, uncorrected") == "87.7%"
    assert metric(app, "95% interval") == "84.1% to 90.5%"


def test_drift_says_in_one_sentence_what_it_found(open_page: OpenPage, collector: Canned) -> None:
    app = open_page("drift")

    assert "differed from those of 312 earlier sessions" in texts_of(app)
    assert "below α = 0.01" in texts_of(app)
    assert collector.hostile in [element.value for element in app.code]


def test_alerts_that_fire_stand_at_the_top_though_they_began_before_the_window(open_page: OpenPage) -> None:
    app = open_page("alerts")

    assert metric(app, "Firing now") == "2"
    assert metric(app, "Fired") == "2"
    assert metric(app, "Not delivered") == "1"
    assert "model=llama-3.3-70b · delivered to oncall" in texts_of(app)


def test_system_names_what_is_missing(open_page: OpenPage) -> None:
    app = open_page("system")

    assert metric(app, "Missing") == "4"
    assert json.loads(app.json[0].value)["status"] == "ok"


def test_no_page_puts_hostile_text_where_markdown_is_read(open_page: OpenPage) -> None:
    for name in PAGES:
        app = open_page(name)

        assert "leak.png" not in markdown_of(app)
        assert not [element for element in app.metric if "leak.png" in f"{element.label}{element.value}"]
