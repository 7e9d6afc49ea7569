"""One store with the whole pipeline in it; every test keeps apart by a project of its own."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell_collector.admin.mapping import move_to_now
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import Mappings, load_mapping
from spanwell_collector.dialects.refine import refine
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline

Row = dict[str, Any]
StoreSpans = Callable[[bytes, str], list[Row]]

ROWS = """
SELECT spans.*, texts.input AS input, texts.output AS output
FROM spanwell.spans LEFT JOIN spanwell.texts USING (project, trace_id, span_id)
WHERE project = {project:String}
ORDER BY spans.ts
"""


@pytest.fixture(scope="session")
def mapping() -> Mappings:
    return load_mapping()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, mapping: Mappings) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("dialects") / "chdb")
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(render_mapping(mapping)))
    yield store
    store.close()


@pytest.fixture
def store_spans(store: Store, mapping: Mappings) -> StoreSpans:
    """Refine and store a batch; its rows with their texts, in the order of their beginning."""

    def send(payload: bytes, project: str) -> list[Row]:
        batch = ExportTraceServiceRequest.FromString(payload)
        move_to_now(batch, time.time_ns())  # recordings grow old, and the store forgets
        for resource_spans in batch.resource_spans:
            refine(resource_spans, mapping)
        store.insert_otlp([batch.SerializeToString()], project=project, token=project, dialects=True)
        return [dict(row) for row in store.query(ROWS, {"project": project}).to_pylist()]

    return send
