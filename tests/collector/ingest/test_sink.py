"""The writer's way into the real engine."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanwell.errors import QueryError
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.ingest.spans import NO_REFINER, Refiner
from spanwell_collector.store.client import Store, digest_batch
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline
from tests.collector.batches import SpanIn, call, make_batch

YEAR = [SpanIn(trace=0x1000 + day, ago_s=86_400 * day, attributes=call()) for day in range(366)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    install_pipeline(store, render_pipeline(render_mapping(load_mapping())))
    yield store
    store.close()


@pytest.fixture
def sink(store: Store, tmp_path: Path) -> Sink:
    return Sink(store, NO_REFINER, project="default", dead=tmp_path)


def _record(*spans: SpanIn, **resource: str) -> bytes:
    named = {name.replace("__", "."): value for name, value in resource.items()}
    return b"\x01" + bytes(make_batch(spans, named).SerializeToString())


def _count(store: Store, table: str, project: str) -> int:
    sql = f"SELECT count() AS rows FROM spanwell.{table} WHERE project = {{project:String}}"
    return int(store.query(sql, {"project": project}).column("rows").to_pylist()[0])


def test_an_insert_that_fails_behind_the_parser_is_told(store: Store, sink: Sink) -> None:
    store.command("ALTER TABLE spanwell.spans ADD CONSTRAINT no_poison CHECK name != 'poison'")

    with pytest.raises(QueryError, match="no_poison"):
        sink.insert([_record(SpanIn(name="poison"))], "poison")

    store.command("ALTER TABLE spanwell.spans DROP CONSTRAINT no_poison")


def test_a_year_of_history_may_come_at_once(store: Store, sink: Sink) -> None:
    store.command("ALTER TABLE spanwell.spans REMOVE TTL")

    sink.insert([_record(*YEAR, spanwell__project="year")], "year")

    assert _count(store, "spans", "year") == 366


def test_the_same_token_again_changes_nothing(store: Store, sink: Sink) -> None:
    record = _record(SpanIn(attributes=call(gen_ai__input__messages="x")), spanwell__project="twice")

    for _ in range(2):
        sink.note(sink.insert([record], "segment-1"), "segment-1")

    assert [_count(store, table, "twice") for table in ("spans", "texts", "ledger")] == [1, 1, 1]


def test_what_is_erased_can_be_put_in_again(store: Store, sink: Sink) -> None:
    record = _record(SpanIn(attributes=call(gen_ai__input__messages="x")), spanwell__project="erased")
    sink.note(sink.insert([record], "segment-2"), "segment-2")

    sink.erase([record])
    gone = [_count(store, table, "erased") for table in ("spans", "texts", "ledger")]
    sink.note(sink.insert([record], "segment-3"), "segment-3")

    assert gone == [0, 0, 0]
    assert [_count(store, table, "erased") for table in ("spans", "texts", "ledger")] == [1, 1, 1]


def test_what_is_erased_of_one_project_stays_in_another(store: Store, sink: Sink) -> None:
    span = SpanIn(trace=0xA, attributes=call(gen_ai__input__messages="x"))
    theirs, ours = (_record(span, spanwell__project=project) for project in ("theirs", "ours"))
    named = _record(
        replace(span, attributes={**span.attributes, "spanwell.project": "named"}), spanwell__project="around"
    )
    for record in (theirs, ours, named):
        sink.insert([record], digest_batch(record).hex())

    sink.erase([ours, named])

    left = {project: _count(store, "spans", project) for project in ("theirs", "ours", "named")}
    assert left == {"theirs": 1, "ours": 0, "named": 0}
    assert _count(store, "texts", "theirs") == 1


def test_native_and_refined_spans_of_one_request_are_both_stored(store: Store, tmp_path: Path) -> None:
    def is_foreign(source: ResourceSpans) -> bool:
        return bool(source.scope_spans[0].scope.name == "foreign")

    request = make_batch([SpanIn(trace=1)], {"spanwell.project": "mixed"})
    request.MergeFrom(make_batch([SpanIn(trace=2)], {"spanwell.project": "mixed"}))
    request.resource_spans[1].scope_spans[0].scope.name = "foreign"
    sink = Sink(store, Refiner(is_foreign, lambda _source: None), project="default", dead=tmp_path)

    [row] = sink.insert([b"\x01" + request.SerializeToString()], "mixed")

    assert _count(store, "spans", "mixed") == 2
    assert row.stored == 2


def test_data_that_no_code_expected_is_refused_and_not_raised(store: Store, tmp_path: Path) -> None:
    def stumble(source: ResourceSpans) -> None:
        raise IndexError("list index out of range")

    sink = Sink(store, Refiner(lambda _source: True, stumble), project="default", dead=tmp_path)

    with pytest.raises(QueryError, match="list index out of range"):
        sink.insert([_record(SpanIn())], "stumble")
    with pytest.raises(QueryError, match="of kind"):
        sink.insert([b"\x7fof the future"], "future")
