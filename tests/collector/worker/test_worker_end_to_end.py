"""The worker against the real collector and its store."""

import json
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client, poll
from tests.collector.worker.fakes import FakeProxy, FakeReceiver, served
from tests.collector.worker.processes import SECRET, configured, running
from tests.collector.worker.topics import deal_sessions

PROJECT = "worker"
SESSIONS_AN_HOUR = 30
DRIFT = {"every_seconds": 1, "min_sessions": 15, "reference_minutes": 240}


def past_calls(hours: int) -> list[SpanIn]:
    """Slow calls; since an hour every second session is about something new."""
    spans = []
    for number in range(hours * SESSIONS_AN_HOUR):
        ago_s = 60 + number * 3600 / SESSIONS_AN_HOUR
        for turn, prompt in enumerate(deal_sessions(number, 1, 0.5 if ago_s < 3600 else 0.0)):
            said = call(
                session__id=f"s-{number}",
                gen_ai__input__messages=json.dumps([{"role": "user", "content": prompt.text}]),
                gen_ai__output__messages=json.dumps([{"role": "assistant", "content": "an answer"}]),
            )
            spans.append(SpanIn(trace=1 + number * 32 + turn, ago_s=ago_s - turn, duration_ms=2500, attributes=said))
    return spans


def test_judges_drift_and_alerts_reach_the_store(collector: Client, tmp_path: Path) -> None:
    proxy, receiver = FakeProxy(['{"reason": "clear", "label": "pass"}']), FakeReceiver()
    collector.send(make_batch(past_calls(7), {"spanwell.project": PROJECT}))
    fresh = make_batch([SpanIn(trace=10**6, duration_ms=2500, attributes=call())], {"spanwell.project": PROJECT})
    collector.send(fresh)

    def ask(question: str, **parameters: Any) -> Any:
        return collector.ask(question, project=PROJECT, start="2020-01-01T00:00:00Z", **parameters)["rows"]

    with served(proxy.app()) as proxy_url, served(receiver.app()) as url:
        environ = configured(
            tmp_path, collector=collector.service.settings.collector_url, proxy=proxy_url, receiver=url, drift=DRIFT
        )
        with running({**environ, "SPANWELL_PROJECT": PROJECT}):
            scores = poll(lambda: ask("scores"), lambda rows: len(rows) >= 5, seconds=60)
            events = poll(
                lambda: ask("alerts/events"),
                lambda rows: [row["delivery"] for row in rows] == ["delivered"],
                seconds=60,
            )
            checks = poll(lambda: ask("drift"), lambda rows: len({row["ts"] for row in rows}) >= 3, seconds=60)

    newest = checks[0]
    assert {(score["name"], score["label"], score["value"]) for score in scores} == {("helpful", "pass", 1.0)}
    assert [(event["rule"], event["state"]) for event in events] == [("slow", "firing")]
    assert Webhook(SECRET).verify(receiver.bodies[0], receiver.headers[0])["status"] == "firing"
    assert newest["p_value"] < 0.01
    assert newest["drifted"]
    assert not any(check["drifted"] for check in checks if check["ts"] < newest["window_start"])
