"""The query API's answers against numbers worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client

PROJECT = "numbers"


@pytest.fixture(scope="module")
def numbers(collector: Client) -> Client:
    """Four calls, a judge's call and a function: 3 ok, 1 error, 1 cache hit, two models, two users."""
    spans = [
        SpanIn(0x1001, 1, ago_s=100, duration_ms=100, attributes=_call("small", "u1", 10, 5, "0.001", ttft=0.05)),
        SpanIn(0x1002, 2, ago_s=90, duration_ms=200, attributes=_call("small", "u1", 20, 10, "0.002", ttft=0.1)),
        SpanIn(0x1003, 3, ago_s=80, duration_ms=300, attributes=_call("large", "u2", 30, 15, "", ttft=0.0), status=2),
        SpanIn(0x1004, 4, ago_s=70, duration_ms=0, attributes=_call("small", "u2", 20, 10, "0", cache="hit")),
        SpanIn(0x1004, 5, ago_s=65, attributes=_call("judge", "", 9, 9, "1") | {"spanwell.purpose": "judge"}),
        SpanIn(0x1001, 6, parent=1, ago_s=60, name="search", attributes={"spanwell.input": '{"q":"Löwe"}'}),
        SpanIn(0x1005, 7, ago_s=5000, attributes=_call("small", "u1", 1, 1, "0.5")),
    ]
    collector.send(make_batch(spans, {"spanwell.project": PROJECT, "spanwell.simulated": True}))
    collector.await_count(6, project=PROJECT)
    return collector


def _call(
    model: str, user: str, tokens_in: int, tokens_out: int, cost: str, *, cache: str = "miss", ttft: float = 0.0
) -> dict[str, Any]:
    given = call(
        gen_ai__request__model=model,
        user__id=user,
        gen_ai__usage__input_tokens=tokens_in,
        gen_ai__usage__output_tokens=tokens_out,
        spanwell__cache=cache,
        gen_ai__input__messages=f'[{{"role":"user","content":"Ask {model}"}}]',
    )
    return given | ({"spanwell.cost_usd": cost} if cost else {}) | ({_TTFT: ttft} if ttft else {})


_TTFT = "gen_ai.response.time_to_first_chunk"


def test_the_overview_is_what_a_hand_works_out(numbers: Client) -> None:
    current, previous = numbers.ask("overview", project=PROJECT)["rows"]

    assert current == {
        "window": "current",
        "requests": 4,
        "errors": 1,
        "error_rate": 0.25,
        "cost_usd": 0.003,
        "saved_usd": 0.0,
        "unpriced": 0,
        "p50_ms": 150.0,
        "p95_ms": 285.0,
        "p99_ms": 297.0,
        "ttft_p50_ms": 75.0,
        "ttft_p95_ms": 97.5,
        "input_tokens": 80,
        "output_tokens": 40,
        "cached_tokens": 0,
        "tokens_per_second": pytest.approx(30 / 0.45),
        "cache_hits": 1,
        "cache_hit_rate": 0.25,
        "users": 2,
        "sessions": 0,
        "simulated": True,
    }
    assert (previous["window"], previous["requests"], previous["cost_usd"]) == ("previous", 1, 0.5)


def test_a_breakdown_is_ordered_by_its_first_metric(numbers: Client) -> None:
    rows = numbers.ask("breakdown", project=PROJECT, by="model", metric=["requests", "cost_usd"])["rows"]

    assert rows == [
        {"model": "small", "requests": 3, "cost_usd": 0.003},
        {"model": "large", "requests": 1, "cost_usd": 0.0},
    ]


def test_filters_of_one_name_are_alternatives_and_of_two_are_both_asked_for(numbers: Client) -> None:
    either = numbers.ask("overview", project=PROJECT, model=["small", "large"])["rows"][0]
    both = numbers.ask("overview", project=PROJECT, model="small", user_id="u2")["rows"][0]

    assert (either["requests"], both["requests"]) == (4, 1)


def test_a_filter_is_a_value_and_never_sql(numbers: Client) -> None:
    hostile = ["') OR 1=1 --", "\\", "'", "{model:String}", "small\x00"]

    assert numbers.ask("overview", project=PROJECT, model=hostile)["rows"][0]["requests"] == 0


def test_a_series_adds_up_to_the_overview(numbers: Client) -> None:
    series = numbers.ask("series", project=PROJECT, metric=["requests", "input_tokens"], by="model")

    assert series["bucket_seconds"] == 30
    assert sum(row["requests"] for row in series["rows"]) == 4
    assert sum(row["input_tokens"] for row in series["rows"] if row["model"] == "small") == 50


def test_groups_beyond_the_largest_are_folded(collector: Client) -> None:
    spans = [
        SpanIn(0x3000 + rank * 100 + index, 1, attributes=call(gen_ai__request__model=f"m{rank:02}"))
        for rank in range(14)
        for index in range(14 - rank)
    ]
    collector.send(make_batch(spans, {"spanwell.project": "folded"}))
    collector.await_count(len(spans), project="folded")

    rows = collector.ask("breakdown", project="folded", by="model", metric="requests", limit=100)["rows"]
    series = collector.ask("series", project="folded", by="model", metric="requests", bucket_seconds=3600)["rows"]

    assert len(rows) == 14
    assert sum(row["requests"] for row in series if row["model"] == "other") == 2 + 1


def test_traces_are_listed_newest_first_with_a_cursor(numbers: Client) -> None:
    first = numbers.ask("traces", project=PROJECT, limit=3)
    rest = numbers.ask("traces", project=PROJECT, limit=3, cursor=first["next"])

    listed = [int(row["trace_id"], 16) for row in first["rows"] + rest["rows"]]
    assert listed == [0x1004, 0x1003, 0x1002, 0x1001]
    assert rest["next"] is None


def test_a_trace_row_is_about_all_its_spans(numbers: Client) -> None:
    row = numbers.ask("traces", project=PROJECT, search="löwe")["rows"][0]

    assert row["trace_id"] == f"{0x1001:032x}"
    assert (row["name"], row["status"], row["spans"], row["requests"]) == ("chat small", "ok", 2, 1)
    assert (row["input_tokens"], row["cost_usd"], row["models"]) == (10, 0.001, ["small"])
    assert row["duration_ms"] == pytest.approx(40_100, abs=1)


def test_a_trace_that_began_before_the_window_is_still_shown_whole(numbers: Client) -> None:
    _, late = numbers.ask(f"traces/{0x1001:032x}", project=PROJECT)["rows"]

    rows = numbers.ask("traces", project=PROJECT, start=late["ts"])["rows"]

    assert [(row["name"], row["spans"], row["requests"]) for row in rows] == [("chat small", 2, 1)]


def test_a_filter_matches_a_trace_with_any_such_span(numbers: Client) -> None:
    rows = numbers.ask("traces", project=PROJECT, status="error")["rows"]

    assert [int(row["trace_id"], 16) for row in rows] == [0x1003]


def test_a_span_comes_with_its_texts_and_scores(numbers: Client) -> None:
    score = {"trace_id": f"{0x1002:032x}", "span_id": f"{2:016x}", "name": "thumb", "value": 1, "source": "user"}
    posted = numbers.http.post("/api/v1/scores", json=score | {"project": PROJECT})

    found = numbers.ask(f"traces/{0x1002:032x}/spans/{2:016x}", project=PROJECT)

    assert posted.json() == {"stored": 1}
    assert found["input"] == '[{"role":"user","content":"Ask small"}]'
    assert found["span"]["model"] == "small"
    assert [(given["name"], given["value"]) for given in found["scores"]] == [("thumb", 1.0)]


def test_samples_are_successful_calls_that_a_model_answered(numbers: Client) -> None:
    rows = numbers.ask("samples", project=PROJECT)["rows"]

    assert [int(row["trace_id"], 16) for row in rows] == [0x1002, 0x1001]
    assert rows[0]["input"] == '[{"role":"user","content":"Ask small"}]'


def test_a_share_keeps_the_same_traces_every_time(collector: Client) -> None:
    text = {"gen_ai.input.messages": "[]"}
    spans = [SpanIn(0x5000 + index, 1, attributes=call() | text) for index in range(200)]
    collector.send(make_batch(spans, {"spanwell.project": "share"}))
    collector.await_count(200, project="share")

    once, twice = (collector.ask("samples", project="share", share=0.25, limit=1000)["rows"] for _ in range(2))

    assert once == twice
    assert 20 < len(once) < 80


def test_a_later_score_replaces_the_earlier_one(collector: Client) -> None:
    score = {"trace_id": f"{0x6001:032x}", "name": "tone", "source": "judge", "project": "scores"}

    collector.http.post("/api/v1/scores", json=[score | {"value": 0.0}, score | {"value": 1.0, "author": "b"}])
    collector.http.post("/api/v1/scores", json=score | {"value": 0.6})
    summary = collector.ask("scores/summary", project="scores", by=["name", "source"])["rows"]

    assert summary == [{"name": "tone", "source": "judge", "scores": 2, "mean": 0.8, "pass_rate": 1.0}]


def test_a_score_counts_for_the_model_of_its_span_else_of_its_trace(collector: Client) -> None:
    spans = [SpanIn(0x5C, number, ago_s=9 - number, attributes=_call(f"m{number}", "", 1, 1, "")) for number in (1, 2)]
    collector.send(make_batch(spans, {"spanwell.project": "mixed"}))
    collector.await_count(2, project="mixed")
    score = {"trace_id": spans[0].trace_id, "name": "tone", "source": "user", "project": "mixed"}

    given = [score | {"value": 1.0}, score | {"value": 0.0, "span_id": spans[1].span_id}]
    collector.http.post("/api/v1/scores", json=given)
    rows = collector.ask("scores/summary", project="mixed", by=["model"])["rows"]

    assert {row["model"]: row["mean"] for row in rows} == {"m1": 1.0, "m2": 0.0}


def test_findings_are_stored_once_and_listed(collector: Client) -> None:
    now = datetime.now(UTC)
    check = {
        "ts": now.isoformat(),
        "segment": "app-1",
        "window_start": (now - timedelta(hours=1)).isoformat(),
        "reference_start": (now - timedelta(hours=7)).isoformat(),
        "reference_end": (now - timedelta(hours=1)).isoformat(),
        "sessions_reference": 40,
        "sessions_current": 20,
        "prompts_reference": 80,
        "prompts_current": 40,
        "statistic": 1.5,
        "alpha": 0.01,
        "terms": ["refund"],
        "project": "findings",
    }
    event = {
        "ts": now.isoformat(),
        "rule": "slow",
        "fingerprint": "f",
        "state": "firing",
        "value": 3.0,
        "threshold": 2.0,
        "labels": {"model": "small"},
        "project": "findings",
    }

    for drifted, p_value in ((False, 0.5), (True, 0.001)):
        collector.http.post("/api/v1/drift", json=check | {"drifted": drifted, "p_value": p_value})
    collector.http.post("/api/v1/alerts/events", json=event)
    drift, alerts = (collector.ask(name, project="findings")["rows"] for name in ("drift", "alerts/events"))

    assert [(row["segment"], row["drifted"], row["terms"]) for row in drift] == [("app-1", True, ["refund"])]
    assert [(row["rule"], row["labels"]) for row in alerts] == [("slow", {"model": "small"})]


def test_arrow_and_json_hold_the_same_rows(numbers: Client) -> None:
    parameters = {"project": PROJECT, "by": "model", "metric": ["requests", "p50_ms"]}
    reply = numbers.http.get(
        "/api/v1/breakdown", params=parameters, headers={"accept": "application/vnd.apache.arrow.stream"}
    )

    rows = pa.ipc.open_stream(reply.content).read_all().to_pylist()

    assert rows == numbers.ask("breakdown", **parameters)["rows"]


@pytest.mark.parametrize(
    ("path", "parameters", "field", "allowed"),
    [
        ("breakdown", {"by": "colour", "metric": "requests"}, "by", "model"),
        ("series", {"metric": "count()"}, "metric", "requests"),
        ("dimensions/colour/values", {}, "name", "model"),
        ("overview", {"colour": "red"}, "colour", None),
        ("overview", {"start": "yesterday"}, "start", None),
        ("overview", {"start": "2026-01-01T00:00:00"}, "start", None),
        ("overview", {"start": "0001-01-01T00:00:00Z"}, "start", "1970-01-01"),
        ("overview", {"end": "9999-12-31T23:59:59Z"}, "end", "2100-01-01"),
        ("overview", {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start", None),
        ("traces", {"limit": "0"}, "limit", None),
        ("traces", {"cursor": "nonsense"}, None, None),
        ("traces/nonsense", {}, "trace_id", None),
        ("series", {"metric": "requests", "bucket_seconds": "1"}, "bucket_seconds", None),
    ],
)
def test_a_bad_parameter_is_named(
    collector: Client, path: str, parameters: dict[str, str], field: str | None, allowed: str | None
) -> None:
    reply = collector.http.get(f"/api/v1/{path}", params=parameters)

    error = reply.json()["error"]
    assert (reply.status_code, error["field"]) == (400, field)
    assert allowed is None or allowed in error["allowed"]


@pytest.mark.parametrize("wrong", [{"value": "high"}, {"trace_id": "no"}, {"source": "nobody"}])
def test_a_bad_score_names_its_field(collector: Client, wrong: dict[str, str]) -> None:
    score = {"trace_id": "0" * 31 + "1", "name": "tone", "value": 1.0, "source": "user"} | wrong

    single = collector.http.post("/api/v1/scores", json=score)
    listed = collector.http.post("/api/v1/scores", json=[score])

    (field,) = wrong
    assert [(answer.status_code, answer.json()["error"]["field"]) for answer in (single, listed)] == [(400, field)] * 2


def test_a_trace_that_is_not_there_is_404(collector: Client) -> None:
    reply = collector.http.get(f"/api/v1/traces/{0xDEAD:032x}")

    assert (reply.status_code, reply.json()["error"]["field"]) == (404, "trace_id")


def test_the_description_of_the_api_is_served(collector: Client) -> None:
    paths = collector.http.get("/openapi.json").json()["paths"]

    assert "/api/v1/overview" in paths
    assert collector.http.get("/docs").status_code == 404
