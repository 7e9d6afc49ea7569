import sqlite3
from datetime import timedelta
from typing import Any

import httpx
import pytest

from spanwell.errors import QueryError, StoreError
from spanwell_collector.worker import outbox
from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.evaluation import LAG, Watch, evaluate
from spanwell_collector.worker.sections import Rule
from tests.collector.worker.fakes import NOW, FakeCollector

RULE = Rule(name="slow", metric="p95_ms", op=">", threshold=2000, min_requests=5, receiver="oncall")
BY_MODEL = RULE.model_copy(update={"by": "model", "filters": {"app": ["shop"]}})


async def watch_once(rule: Rule, collector: FakeCollector, database: sqlite3.Connection) -> list[dict[str, Any]]:
    """Evaluate the rule; the events it has led to so far."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(collector.app()), base_url="http://collector") as http:
        await evaluate(rule, Watch(CollectorClient(http, "shop"), database, lambda: NOW, "http://dashboard"))
    return [event for _, event in outbox.unreported(database)]


async def test_a_rule_without_groups_reads_the_overview(database: sqlite3.Connection) -> None:
    collector = FakeCollector(overview={"requests": 9, "p95_ms": 2500.0})

    (event,) = await watch_once(RULE, collector, database)

    assert (event["state"], event["value"], event["labels"]) == (
        "firing",
        2500.0,
        {"alertname": "slow", "severity": "warning"},
    )
    path, asked = collector.asked[0]
    assert path == "/overview"
    assert asked["project"] == ["shop"]
    assert asked["end"] == [(NOW - LAG).isoformat()]
    assert asked["start"] == [(NOW - LAG - timedelta(minutes=5)).isoformat()]


async def test_each_group_has_an_alert_of_its_own(database: sqlite3.Connection) -> None:
    models = [("slow", 2500.0, 9), ("quick", 100.0, 9), ("rare", 9000.0, 2), ("silent", None, 9)]
    collector = FakeCollector(groups=[{"model": m, "p95_ms": value, "requests": n} for m, value, n in models])

    events = await watch_once(BY_MODEL, collector, database)

    assert [event["labels"]["model"] for event in events] == ["slow"]
    assert collector.asked[0][1]["metric"] == ["requests", "p95_ms"]
    assert collector.asked[0][1]["app"] == ["shop"]


async def test_a_group_that_vanishes_goes_on_firing(database: sqlite3.Connection) -> None:
    collector = FakeCollector(groups=[{"model": "slow", "p95_ms": 2500.0, "requests": 9}])
    await watch_once(BY_MODEL, collector, database)
    collector.groups = []

    events = await watch_once(BY_MODEL, collector, database)

    assert [event["state"] for event in events] == ["firing"]
    assert database.execute("SELECT phase FROM alerts").fetchall() == [("firing",)]


async def test_drift_can_be_watched_too(database: sqlite3.Connection) -> None:
    rule = Rule(name="drift", metric="drift_p_value", op="<", threshold=0.01, receiver="oncall")
    checks = [("support", 30, 0.0005), ("support", 60, 0.6), ("ide", 30, 0.4)]
    posted = [
        {"segment": segment, "ts": (NOW - timedelta(seconds=age)).isoformat(), "p_value": p, "sessions_current": 40}
        for segment, age, p in reversed(checks)
    ]

    (event,) = await watch_once(rule, FakeCollector(posted={"drift": posted}), database)

    assert event["labels"]["segment"] == "support"


@pytest.mark.parametrize(("status", "error"), [(500, StoreError), (400, QueryError)])
async def test_a_collector_in_trouble_changes_no_state(
    database: sqlite3.Connection, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await watch_once(RULE, FakeCollector(overview={"requests": 9, "p95_ms": 2500.0}, status=status), database)

    assert outbox.unreported(database) == []


async def test_an_answer_that_is_no_number_is_an_error_of_the_collector(database: sqlite3.Connection) -> None:
    with pytest.raises(StoreError, match="no number"):
        await watch_once(RULE, FakeCollector(overview={"requests": 9, "p95_ms": "fast"}), database)
