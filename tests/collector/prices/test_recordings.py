"""What real instrumentations sent costs what the backend billed, each call once, and reconciles with its bill."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_collector.admin.mapping import move_to_now
from spanwell_collector.calls.stitcher import Stitcher
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import Mappings, load_mapping
from spanwell_collector.dialects.refine import refine
from spanwell_collector.prices.exports import Line
from spanwell_collector.prices.questions import list_billed
from spanwell_collector.prices.reconcile import read_stored, reconcile
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline

FIXTURES = Path(__file__).parents[1] / "dialects" / "fixtures"
# vLLM's own spans name no model: what has no name has no price.
NAMES = sorted({path.name.removesuffix(".truth.json") for path in FIXTURES.glob("*.truth.json")} - {"vllm"})
# US dollars a million tokens: plain input, read from the cache, written to it, output.
RATES = {
    "gpt-4o-mini": (Decimal("0.15"), Decimal("0.075"), Decimal("0.15"), Decimal("0.6")),
    "text-embedding-3-small": (Decimal("0.02"), Decimal("0.02"), Decimal("0.02"), Decimal(0)),
    "claude-sonnet-4-5": (Decimal(3), Decimal("0.3"), Decimal("3.75"), Decimal(15)),
}
KINDS = ("input", "cached", "cache_write", "output")
PRICES = [
    {"model": model, **{f"{kind}_usd_per_million": float(rate) for kind, rate in zip(KINDS, rates, strict=True)}}
    for name, rates in RATES.items()
    for model in (name, f"{name}-0001", f"{name}-2024-07-18")  # Langfuse tells the version that answered, and no other
]


@pytest.fixture(scope="module")
def mapping() -> Mappings:
    return load_mapping()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mapping: Mappings) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(render_mapping(mapping)))
    bring_up_to_date(store, PriceTable(), Config(prices=PRICES), datetime.now(UTC))
    yield store
    store.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_costs_what_the_backend_billed(store: Store, mapping: Mappings, name: str) -> None:
    batch = ExportTraceServiceRequest.FromString((FIXTURES / f"{name}.traces.pb").read_bytes())
    move_to_now(batch, time.time_ns())
    for source in batch.resource_spans:
        refine(source, mapping)
    store.insert_otlp([batch.SerializeToString()], project=name, token=name, dialects=True)
    Stitcher(store, settle_ms=0).run_pass()
    now = datetime.now(UTC)
    rows = list_billed(store, Selection(name, now - timedelta(days=2), now + timedelta(days=1)))
    told = json.loads((FIXTURES / f"{name}.truth.json").read_text(encoding="utf-8"))

    bill = list(_bill(told["calls"]))
    # The calls were moved to now, and the bill names no versions.
    stored = [
        line._replace(day=bill[0].day, model=line.model.removesuffix("-0001"))
        for line in read_stored(json.loads(json.dumps(rows, default=str)))
    ]
    account = reconcile(stored, bill)

    assert sum(row["usd"] for row in rows) == sum((line.usd for line in bill if line.usd), Decimal(0))
    assert (account.differences, account.calls) == ([], [])
    assert account.theirs_usd > 0


def _bill(calls: list[dict[str, Any]]) -> Iterator[Line]:
    """What the backend would write of the calls as they were sent: what is nowhere on the wire cannot be known."""
    for call in calls:
        tokens = _count(call)
        if "call" in call["missing"] or not sum(tokens.values()):
            continue
        yield Line(date(2026, 11, 4), call["request_model"], "", "request", calls=1)
        for (kind, count), rate in zip(tokens.items(), RATES[call["request_model"]], strict=True):
            if count:
                yield Line(date(2026, 11, 4), call["request_model"], "", kind, count, count * rate / 1_000_000)


def _count(call: dict[str, Any]) -> dict[str, int]:
    names = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    sent, cached, written, received = (0 if name in call["missing"] else call[name] for name in names)
    return {"input": sent - cached - written, "cached": cached, "cache_write": written, "output": received}
