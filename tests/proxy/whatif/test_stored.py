"""Stored calls are read as they were sent."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from spanwell.errors import SpanwellError
from spanwell.settings import Settings
from spanwell_proxy.whatif.stored import Window, read_calls
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import connect
from tests.services import start_collector

ASKED = '[{"role":"user","parts":[{"type":"text","content":"Do foxes sleep?"}]}]'

HIT: dict[str, str | float] = {
    "spanwell.cache": "hit",
    "spanwell.cost_usd": "0",
    "spanwell.saved_usd": "0.004",
    "spanwell.saved_ms": 900.0,
}


def test_calls_come_with_what_they_asked(tmp_path: Path) -> None:
    service = start_collector(tmp_path)
    asked = call(
        gen_ai__request__model="fox",
        gen_ai__input__messages=ASKED,
        spanwell__cost_usd="0.002",
        spanwell__key__id="k1",
        gen_ai__request__temperature=0.7,
    )
    spans = [
        SpanIn(1, 1, ago_s=20, duration_ms=150, attributes=asked),
        SpanIn(2, 2, ago_s=30, attributes=asked | {"spanwell.purpose": "judge"}),
        SpanIn(3, 3, ago_s=40, attributes=asked | HIT),
        SpanIn(4, 4, ago_s=50, name="step"),
    ]
    end = datetime.now(UTC) + timedelta(minutes=1)
    window = Window("shop", end - timedelta(hours=1), end)
    with connect(service) as client:
        client.send(make_batch(spans, {"spanwell.project": "shop"}))
        client.await_count(4, project="shop")
        told: list[tuple[str, int, int]] = []

        found = read_calls(service.settings, window, lambda *progress: told.append(progress))
    service.stop()

    assert [one.trace_id[-1] for one in found] == ["3", "1"]
    assert (found[1].model, found[1].key_id, found[1].cost_usd) == ("fox", "k1", Decimal("0.002"))
    assert (found[1].asked, found[1].duration_ms) == (ASKED, 150)
    assert (found[0].cost_usd, found[0].duration_ms) == (Decimal("0.004"), 900)  # what the cache has spared
    assert found[1].parameters == ("0.7", "")
    assert told[-1] == ("spans", 4, 4)


def test_without_a_collector_it_says_so() -> None:
    now = datetime.now(UTC)

    with pytest.raises(SpanwellError, match="start it first"):
        read_calls(Settings(collector_port=1), Window("p", now, now), lambda *_: None)
