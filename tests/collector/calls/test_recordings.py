"""What real instrumentations sent of calls with known usage: each call counts once, with the numbers it had."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell_collector.admin.mapping import move_to_now
from spanwell_collector.calls.stitcher import Stitcher
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import Mappings, load_mapping
from spanwell_collector.dialects.refine import refine
from spanwell_collector.registry import REQUESTS
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline

FIXTURES = Path(__file__).parents[1] / "dialects" / "fixtures"
NAMES = sorted(path.name.removesuffix(".truth.json") for path in FIXTURES.glob("*.truth.json"))


@pytest.fixture(scope="module")
def mapping() -> Mappings:
    return load_mapping()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mapping: Mappings) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(render_mapping(mapping)))
    yield store
    store.close()


@pytest.mark.parametrize("name", NAMES)
def test_each_call_of_a_recording_counts_once(store: Store, mapping: Mappings, name: str) -> None:
    batch = ExportTraceServiceRequest.FromString((FIXTURES / f"{name}.traces.pb").read_bytes())
    move_to_now(batch, time.time_ns())
    for source in batch.resource_spans:
        refine(source, mapping)
    store.insert_otlp([batch.SerializeToString()], project=name, token=name, dialects=True)

    Stitcher(store, settle_ms=0).run_pass()

    told = json.loads((FIXTURES / f"{name}.truth.json").read_text(encoding="utf-8"))
    sql = f"SELECT * FROM spanwell.spans WHERE project = {{project:String}} AND {REQUESTS}"
    counted = store.query(sql, {"project": name}).to_pylist()
    assert _figures(counted) == _figures(_as_sent(call) for call in told["calls"] if "call" not in call["missing"])
    assert Stitcher(store, settle_ms=0).run_pass() == 0


def _as_sent(call: dict[str, Any]) -> dict[str, Any]:
    """A call without the numbers that its instrumentation leaves out."""
    return {**call, **{name: 0 for name in ("input_tokens", "output_tokens") if name in call["missing"]}}


def _figures(calls: Iterable[dict[str, Any]]) -> list[tuple[str, int, int, bool]]:
    return sorted(
        (call["operation"], call["input_tokens"], call["output_tokens"], call["status"] == "error") for call in calls
    )
