"""The writer's way into the real engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanwell.errors import QueryError, StoreError
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.ingest.dead import END_OF_REASON, bury, get_letter, make_letter, move_files
from spanwell_collector.ingest.ledger import reject
from spanwell_collector.ingest.sink import Sink
from spanwell_collector.ingest.spans import NO_REFINER, Refiner
from spanwell_collector.queries.ledger import list_accepted
from spanwell_collector.store.client import Store, digest_batch
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline
from tests.collector.batches import SpanIn, call, make_batch

YEAR = [SpanIn(trace=0x1000 + day, ago_s=86_400 * day, attributes=call()) for day in range(366)]
COUNTED: Final = "SELECT sent, stored, rejected FROM spanwell.ledger WHERE project = 'counted'"


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
    def is_foreign(source: ResourceSpans, _longest: int) -> bool:
        return bool(source.scope_spans[0].scope.name == "foreign")

    request = make_batch([SpanIn(trace=1)], {"spanwell.project": "mixed"})
    request.MergeFrom(make_batch([SpanIn(trace=2)], {"spanwell.project": "mixed"}))
    request.resource_spans[1].scope_spans[0].scope.name = "foreign"
    sink = Sink(store, Refiner(is_foreign, lambda _source: None), project="default", dead=tmp_path)

    [row] = sink.insert([b"\x01" + request.SerializeToString()], "mixed")

    assert _count(store, "spans", "mixed") == 2
    assert row.stored == 2


def test_rows_of_too_many_days_are_refused_for_good(store: Store, sink: Sink) -> None:
    days = [SpanIn(trace=0x4000 + day, ago_s=86_400 * day) for day in range(402)]

    with pytest.raises(QueryError, match="Too many partitions"):
        sink.insert([_record(*days, spanwell__project="days")], "days")


def _bury(store: Store, sink: Sink, record: bytes) -> str:
    """As the writer does with a record whose spans are all refused; the letter's id."""
    letter_id = digest_batch(record).hex()
    sink.note(reject(sink.count(record), sink.count(record)), letter_id)
    sink.bury(record, "because")
    return letter_id


def test_a_letter_that_is_replayed_by_many_at_once_is_stored_once(store: Store, sink: Sink) -> None:
    spans = [SpanIn(trace=0xE0E, span=number, attributes=call(gen_ai__input__messages="x")) for number in (1, 2, 3)]
    letter_id = _bury(store, sink, _record(*spans, spanwell__project="replayed"))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(sink.replay, [letter_id] * 8))

    assert sorted(found) == [False] * 7 + [True]
    assert [_count(store, table, "replayed") for table in ("spans", "texts")] == [3, 3]


def test_the_ledger_counts_what_is_replayed_as_stored(store: Store, sink: Sink) -> None:
    numbers: dict[str, Any] = {"spanwell.batch.first": 0, "spanwell.batch.spans": 1, "spanwell.project": "counted"}
    record = b"\x01" + make_batch([SpanIn()], numbers).SerializeToString()
    letter_id = _bury(store, sink, record)
    before = store.query(COUNTED).to_pylist()

    sink.replay(letter_id)

    assert before == [{"sent": 1, "stored": 0, "rejected": 1}]
    assert store.query(COUNTED).to_pylist() == [{"sent": 1, "stored": 1, "rejected": 0}]


def test_a_replay_that_is_refused_leaves_nothing_behind(store: Store, sink: Sink) -> None:
    spans = [SpanIn(trace=0xE1, attributes=call(gen_ai__input__messages="refused text"))]
    letter_id = _bury(store, sink, _record(*spans, spanwell__project="half"))
    store.command("ALTER TABLE spanwell.texts ADD CONSTRAINT no_text CHECK input != 'refused text'")

    with pytest.raises(QueryError, match="no_text"):
        sink.replay(letter_id)
    store.command("ALTER TABLE spanwell.texts DROP CONSTRAINT no_text")

    assert [_count(store, table, "half") for table in ("spans", "texts")] == [0, 0]
    assert get_letter(store, letter_id) is not None


def test_log_records_that_come_again_are_known(store: Store, sink: Sink) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(event_name="gen_ai.user.message")
    record = b"\x02" + request.SerializeToString()

    sink.note(sink.insert([record], "logs"), "logs")

    assert digest_batch(record) in list_accepted(store)


def test_files_of_dead_letters_are_moved_as_far_as_the_table_takes_them(store: Store, tmp_path: Path) -> None:
    record = _record(SpanIn(trace=0xE2, name="a record that holds" + END_OF_REASON.decode()), spanwell__project="filed")
    letter = make_letter(record, "because", project="default", received=datetime.now(UTC))
    (tmp_path / "1.letter").write_bytes(b"because" + END_OF_REASON + record)
    (tmp_path / "2.letter.half").write_bytes(b"because")
    (tmp_path / "3.letter").mkdir()  # what nobody can read

    move_files(store, tmp_path, project="default")

    moved = get_letter(store, letter.id)
    assert moved is not None
    assert (moved.payload, moved.reason, moved.project, moved.spans) == (record, "because", "filed", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["3.letter"]


def test_letters_that_the_table_does_not_take_lie_in_files_of_their_owner(tmp_path: Path) -> None:
    class Refusing:
        def insert(self, *_arguments: Any) -> None:
            raise StoreError("the disk is full")

    store: Any = Refusing()
    letter = make_letter(
        _record(SpanIn()), f"because {END_OF_REASON.decode()}", project="p", received=datetime.now(UTC)
    )

    bury(store, [letter], tmp_path / "dead")
    move_files(store, tmp_path / "dead", project="p")

    [path] = (tmp_path / "dead").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"because \n" + END_OF_REASON + letter.payload


def test_data_that_no_code_expected_is_refused_and_not_raised(store: Store, tmp_path: Path) -> None:
    def stumble(source: ResourceSpans) -> None:
        raise IndexError("list index out of range")

    sink = Sink(store, Refiner(lambda _source, _longest: True, stumble), project="default", dead=tmp_path)

    with pytest.raises(QueryError, match="list index out of range"):
        sink.insert([_record(SpanIn())], "stumble")
    with pytest.raises(QueryError, match="of kind"):
        sink.insert([b"\x7fof the future"], "future")
