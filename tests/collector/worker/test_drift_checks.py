import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest

from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.drift_checks import DriftHistory, DriftWatch
from spanwell_collector.worker.sections import DriftSection
from tests.collector.worker.fakes import NOW, FakeCollector
from tests.collector.worker.topics import deal_sessions

SECTION = DriftSection(min_sessions=15)
SHIFTED_SINCE = NOW - timedelta(minutes=90)


def traffic(app: str, hours: int, *, shifts: bool = False) -> list[dict[str, Any]]:
    """Thirty sessions an hour, of which 40 % are about something new since SHIFTED_SINCE, if it shifts."""
    rows: list[dict[str, Any]] = []
    for number in range(hours * 30):
        at = NOW - timedelta(minutes=2 * number + 1)
        share = 0.4 if shifts and at >= SHIFTED_SINCE else 0.0
        for turn, prompt in enumerate(deal_sessions(number, 1, share)):
            rows.append(
                row(app, f"{app}-{number}", f"{number:016x}{turn:016x}", at + timedelta(seconds=turn), prompt.text)
            )
    Random(1).shuffle(rows)
    return rows


def row(app: str, session: str, trace_id: str, ts: datetime, text: str) -> dict[str, Any]:
    ids = {"trace_id": trace_id, "span_id": trace_id[-16:], "ts": ts, "user_id": "", "session_id": session}
    return {**ids, "app": app, "model": "m", "input": json.dumps([{"role": "user", "content": text}]), "output": ""}


def collector_with(*samples: list[dict[str, Any]]) -> FakeCollector:
    rows = [row for rows in samples for row in rows]
    apps = [rows[0]["app"] for rows in samples]
    return FakeCollector(samples=rows, groups=[{"app": app, "requests": len(rows)} for app in apps])


@asynccontextmanager
async def client_of(collector: FakeCollector) -> AsyncIterator[CollectorClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(collector.app()), base_url="http://collector") as http:
        yield CollectorClient(http, "default")


async def test_the_live_window_finds_the_segment_that_shifted_and_leaves_the_other_alone() -> None:
    collector = collector_with(traffic("support", 7, shifts=True), traffic("ide", 7))

    async with client_of(collector) as client:
        await DriftWatch(client, SECTION, lambda: NOW).check()

    found = {check["segment"]: check for check in collector.posted["drift"]}
    assert found["support"]["p_value"] < 0.01
    assert found["support"]["drifted"]
    assert not found["ide"]["drifted"]
    assert found["support"]["alpha"] == pytest.approx(0.005)
    assert found["support"]["ts"] == NOW.replace(second=0).isoformat()


async def test_a_second_check_asks_only_for_what_is_new() -> None:
    collector, moments = collector_with(traffic("support", 7)), [NOW, NOW, NOW + timedelta(minutes=1)]

    async with client_of(collector) as client:
        watch = DriftWatch(client, SECTION, lambda: moments[0])
        while moments:
            await watch.check()
            moments.pop(0)

    starts = [asked["start"][0] for path, asked in collector.asked if path == "/samples"]
    assert starts[0] < starts[-1] == (NOW.replace(second=0) - timedelta(minutes=5)).isoformat()
    assert len(collector.posted["drift"]) == 2


async def test_history_is_checked_back_to_the_first_window_with_a_reference() -> None:
    collector = collector_with(traffic("support", 12, shifts=True))

    async with client_of(collector) as client:
        await DriftHistory(client, SECTION, lambda: NOW).check()

    drifted = {datetime.fromisoformat(check["ts"]): check["drifted"] for check in collector.posted["drift"]}
    assert len(drifted) >= 10
    assert drifted[max(drifted)]
    assert not any(verdict for end, verdict in drifted.items() if end <= SHIFTED_SINCE)


async def test_what_is_stored_is_not_checked_again_after_a_restart() -> None:
    collector = collector_with(traffic("support", 12))

    async with client_of(collector) as client:
        await DriftHistory(client, SECTION, lambda: NOW).check()
        count = len(collector.posted["drift"])
        await DriftHistory(client, SECTION, lambda: NOW).check()

    assert len(collector.posted["drift"]) == count > 0


async def test_history_that_arrives_late_is_checked_when_it_is_there() -> None:
    collector = collector_with(traffic("support", 12))
    complete, collector.samples = collector.samples, collector.samples[:1]
    collector.groups[0]["requests"] = 500

    async with client_of(collector) as client:
        history = DriftHistory(client, SECTION, lambda: NOW)
        await history.check()
        assert collector.posted == {}
        collector.samples, collector.groups[0]["requests"] = complete, len(complete)
        await history.check()
        count = len(collector.posted["drift"])
        await history.check()

    assert len(collector.posted["drift"]) == count >= 10


async def test_a_segment_with_few_sessions_is_not_judged() -> None:
    collector = collector_with(traffic("support", 7)[:60])

    async with client_of(collector) as client:
        await DriftWatch(client, SECTION, lambda: NOW).check()

    assert collector.posted == {}


async def test_calls_without_texts_are_no_error() -> None:
    silent = [{**row, "input": ""} for row in traffic("support", 7)]
    collector = collector_with(silent)

    async with client_of(collector) as client:
        await DriftWatch(client, SECTION, lambda: NOW).check()

    assert collector.posted == {}
