"""The demo shows what it promises: what was planted is found, and not before it was planted."""

import json
from datetime import datetime, timedelta
from typing import Any

from spanwell.demo import planted
from tests.end_to_end.house import House, wait_until


def test_history_is_there_when_the_demo_says_it_is_ready(demo: House) -> None:
    rows = wait_until(lambda: demo.query("SELECT count() FROM spanwell.spans WHERE simulated")[0][0] > 5000, seconds=15)

    assert rows


def test_the_planted_version_is_slower_and_dearer(demo: House) -> None:
    rows = demo.query(
        "SELECT model, quantile(0.95)(duration_ms), avg(cost_usd) FROM spanwell.spans "
        "WHERE model IN ({old:String}, {new:String}) AND cache != 'hit' AND status = 'ok' GROUP BY model",
        old=planted.STEADY_MODEL,
        new=planted.SLOW_MODEL,
    )

    found = {model: (p95_ms, cost) for model, p95_ms, cost in rows}
    assert found[planted.SLOW_MODEL][0] > 1.5 * found[planted.STEADY_MODEL][0]
    assert found[planted.SLOW_MODEL][1] > 1.5 * found[planted.STEADY_MODEL][1]


def test_the_topic_shift_is_found_after_it_was_planted_and_not_before(demo: House) -> None:
    written = json.loads((demo.settings.data / "demo" / "history.json").read_text(encoding="utf-8"))
    planted_at = datetime.fromisoformat(written["now"]) - planted.SHIFT_SINCE

    def windows() -> list[dict[str, Any]]:
        rows = demo.api("drift", start=(planted_at - timedelta(hours=12)).isoformat())["rows"]
        return [row for row in rows if row["segment"] == planted.SHIFTED_APP]

    def found(*, after: bool) -> list[float]:
        return [row["p_value"] for row in windows() if (datetime.fromisoformat(row["ts"]) > planted_at) == after]

    assert wait_until(lambda: len(found(after=False)) >= 5 and found(after=True), seconds=60)
    assert min(found(after=True)) < 0.01
    assert min(found(after=False)) >= 0.01


def test_the_receiver_gets_the_alert_with_a_valid_signature(demo: House) -> None:
    # The receiver keeps only deliveries whose signature it has verified.
    deliveries = demo.settings.data / "demo" / "webhooks.jsonl"

    assert wait_until(lambda: deliveries.exists() and deliveries.stat().st_size, seconds=60)
    body = json.loads(deliveries.read_text(encoding="utf-8").splitlines()[0])["body"]
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "oncall")


def test_judged_scores_stand_on_spans(demo: House) -> None:
    rows = wait_until(
        lambda: demo.query(
            "SELECT count() FROM spanwell.scores AS score FINAL JOIN spanwell.spans AS span "
            "ON span.trace_id = score.trace_id AND span.span_id = score.span_id WHERE score.source = 'judge'"
        )[0][0],
        seconds=60,
    )

    assert rows > 0


def test_the_hit_rate_of_the_cache_page_is_hits_over_requests(demo: House) -> None:
    window = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}

    shown = demo.api("breakdown", by="app", metric=["cache_hits", "requests", "cache_hit_rate"], **window)["rows"]

    counted = demo.query(
        "SELECT app, countIf(cache = 'hit') / count() FROM spanwell.spans "
        "WHERE operation IN ('chat', 'text_completion', 'embeddings') AND purpose = '' AND ts < now() - 60 GROUP BY app"
    )
    assert len(shown) == len(counted)
    for row in shown:
        assert row["cache_hit_rate"] == row["cache_hits"] / row["requests"]
