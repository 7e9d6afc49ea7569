"""The planted facts, counted by hand in the history's spans."""

import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from statistics import median

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell.demo import planted
from spanwell.demo.backfill import pack_batches
from spanwell.demo.history import BACKFILLED, Entry, generate_history
from spanwell.demo.otlp import ERROR, Span
from spanwell.demo.profiles import MODELS, PER_MILLION
from spanwell.demo.topics import RECALL

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return list(generate_history(NOW))


@pytest.fixture(scope="module")
def calls(entries: list[Entry]) -> list[Span]:
    return [span for entry in entries for span in entry.spans if span.attributes[c.OPERATION] == "chat"]


def age(span: Span) -> timedelta:
    return NOW - datetime.fromtimestamp(span.start_ns / 1e9, tz=UTC)


def support(calls: list[Span], since: timedelta) -> Iterator[Span]:
    return (call for call in calls if call.attributes[c.APP] == "support" and age(call) <= since)


def test_the_same_seed_and_moment_give_the_same_spans(entries: list[Entry]) -> None:
    again = islice(generate_history(NOW), 500)

    assert list(again) == entries[:500]


def test_another_seed_gives_other_spans(entries: list[Entry]) -> None:
    assert next(generate_history(NOW, seed=1)) != entries[0]


def test_a_day_holds_about_ten_thousand_calls(calls: list[Span]) -> None:
    ages = [age(call) for call in calls]

    assert 8_000 <= len(calls) <= 12_000
    assert timedelta(0) < min(ages) < timedelta(minutes=1)
    assert timedelta(hours=23) < max(ages) <= planted.HISTORY
    assert max(call.end_ns for call in calls) < (NOW + timedelta(seconds=31)).timestamp() * 1e9


def test_span_ids_are_unique(entries: list[Entry]) -> None:
    ids = [span.span_id for entry in entries for span in entry.spans]

    assert len(set(ids)) == len(ids)


def test_the_slow_version_answers_its_share_and_only_since_it_was_rolled_out(calls: list[Span]) -> None:
    deployments = Counter(call.attributes[c.DEPLOYMENT] for call in support(calls, planted.SLOW_SINCE))
    oldest = max(age(call) for call in calls if call.attributes.get(c.RESPONSE_MODEL) == planted.SLOW_MODEL)

    slow = deployments[f"support-chat/{planted.SLOW_MODEL}"]
    assert slow / deployments.total() == pytest.approx(planted.SLOW_SHARE, abs=0.005)
    assert oldest <= planted.SLOW_SINCE


def test_the_slow_version_is_slower_and_dearer_a_token(calls: list[Span]) -> None:
    answered = [call for call in support(calls, planted.SLOW_SINCE) if c.RESPONSE_MODEL in call.attributes]
    ms_a_token = {
        model: median(
            (call.end_ns - call.start_ns) / 1e6 / max(int(str(call.attributes[c.OUTPUT_TOKENS])), 1)
            for call in answered
            if call.attributes[c.RESPONSE_MODEL] == model
        )
        for model in (planted.STEADY_MODEL, planted.SLOW_MODEL)
    }

    assert ms_a_token[planted.SLOW_MODEL] > 1.8 * ms_a_token[planted.STEADY_MODEL]


def test_costs_are_tokens_times_rate(calls: list[Span]) -> None:
    prices = {model.name: model for model in MODELS}
    for call in [call for call in calls if call.attributes.get(c.CACHE) == "miss" and call.status != ERROR][::500]:
        model = prices[str(call.attributes[c.RESPONSE_MODEL])]
        tokens = [int(str(call.attributes[name])) for name in (c.INPUT_TOKENS, c.CACHE_READ_TOKENS, c.OUTPUT_TOKENS)]

        by_hand = (
            (tokens[0] - tokens[1]) * model.input_price
            + tokens[1] * model.input_price / 4
            + tokens[2] * model.output_price
        ) / PER_MILLION

        assert Decimal(str(call.attributes[c.COST_USD])) == by_hand


def topics_of(calls: list[Span], *, recent: bool) -> Counter[bool]:
    """Sessions of the support app by whether they are about the new topic, begun since the shift or before."""
    first: dict[str, Span] = {}
    for call in calls:
        if call.attributes[c.APP] == planted.SHIFTED_APP:
            first.setdefault(str(call.attributes[c.SESSION_ID]), call)
    chosen = [call for call in first.values() if (age(call) <= planted.SHIFT_SINCE) is recent]
    return Counter(bool(RECALL.keywords & set(_question(call).lower().split())) for call in chosen)


def _question(call: Span) -> str:
    messages = orjson.loads(str(call.attributes[c.INPUT_MESSAGES]))
    return str(messages[1]["parts"][0]["content"]).replace("?", " ").replace(".", " ")


def test_the_new_topic_takes_its_share_of_sessions_and_none_before(calls: list[Span]) -> None:
    before, after = topics_of(calls, recent=False), topics_of(calls, recent=True)

    assert before[True] == 0
    assert after[True] / after.total() == pytest.approx(planted.SHIFT_SHARE, abs=0.01)


def test_a_cache_hit_repeats_a_question_within_ten_minutes_and_costs_nothing(calls: list[Span]) -> None:
    hits = [call for call in calls if call.attributes[c.CACHE] == "hit"]

    assert 0.03 < len(hits) / len(calls) < 0.15
    assert {call.attributes[c.COST_USD] for call in hits} == {"0"}
    assert all(Decimal(str(call.attributes[c.SAVED_USD])) > 0 for call in hits)


def test_errors_retries_and_fallbacks_happen(calls: list[Span]) -> None:
    digest = [call for call in calls if call.attributes[c.APP] == planted.BURST_APP]

    assert Counter(call.attributes.get(c.ERROR_TYPE) for call in digest)["upstream_400"] > 5
    assert Counter(call.attributes[c.ATTEMPTS] for call in digest)[2] > 50
    fallen = [call for call in digest if call.attributes.get(c.FALLBACK_FROM) == "summarizer"]
    assert {call.attributes[c.RESPONSE_MODEL] for call in fallen if call.status != ERROR} == {planted.STEADY_MODEL}


def test_an_agents_run_holds_its_search_its_ranking_and_its_call(entries: list[Entry]) -> None:
    run = next(entry.spans for entry in entries if entry.app == "docs-agent")

    root, *children = run
    assert [span.attributes[c.OPERATION] for span in run] == ["invoke_agent", "retrieval", "execute_tool", "chat"]
    assert root.parent_id == b""
    assert {(child.trace_id, child.parent_id) for child in children} == {(root.trace_id, root.span_id)}
    assert all(root.start_ns <= child.start_ns <= child.end_ns <= root.end_ns for child in children)


def test_scores_say_that_they_are_backfilled_and_stand_on_calls(entries: list[Entry]) -> None:
    scores = [score for entry in entries for score in entry.scores]
    spans = {span.span_id.hex() for entry in entries for span in entry.spans}

    assert {score["comment"] for score in scores} == {BACKFILLED}
    assert {score["name"] for score in scores} == {"helpfulness", "user-feedback"}
    assert {score["span_id"] for score in scores} <= spans


def test_batches_number_each_apps_spans_without_a_gap(entries: list[Entry]) -> None:
    batches = list(pack_batches(NOW))
    requests = [ExportTraceServiceRequest.FromString(gzip.decompress(batch.body)) for batch in batches if batch.body]

    counted: Counter[str] = Counter()
    for request in requests:
        (group,) = request.resource_spans
        said = {item.key: item.value for item in group.resource.attributes}
        app = said[c.SERVICE_NAME].string_value
        assert said[c.BATCH_FIRST].int_value == counted[app]
        counted[app] += len(group.scope_spans[0].spans)
    assert counted == Counter(entry.app for entry in entries for _ in entry.spans)
    assert sum(len(batch.scores) for batch in batches) == sum(len(entry.scores) for entry in entries)
