"""The schema: applied once, and refused when it is not the one this version knows."""

from collections.abc import Iterator

import pytest

from spanwell.errors import QueryError, StoreError
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import Migration, load_migrations, migrate
from spanwell_collector.store.pipeline.install import NATIVE, install_pipeline, render_pipeline
from tests.collector.batches import SpanIn, make_batch

BROKEN = Migration(99, "0099_broken", "CREATE TABLE spanwell.half (a Int8) ENGINE = Memory;\nCREATE NONSENSE;\n")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    yield store
    store.close()


def test_migrations_are_applied_once(store: Store) -> None:
    names = [migration.name for migration in load_migrations()]

    assert migrate(store, load_migrations()) == names
    assert migrate(store, load_migrations()) == []


def test_a_newer_store_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="written by a newer Spanwell: it holds migration 0002_otlp"):
        migrate(store, load_migrations()[:1])


def test_an_altered_migration_is_refused(store: Store) -> None:
    first, *rest = load_migrations()

    with pytest.raises(StoreError, match="0001_tables was applied with another text"):
        migrate(store, [first._replace(sql=first.sql + "\n-- altered"), *rest])


def test_a_migration_that_stopped_half_way_is_refused_ever_after(store: Store) -> None:
    with pytest.raises(QueryError):
        migrate(store, [*load_migrations(), BROKEN])

    with pytest.raises(StoreError, match="0099_broken stopped half-way"):
        migrate(store, [*load_migrations(), BROKEN])


def test_the_same_segment_again_changes_nothing(store: Store) -> None:
    install_pipeline(store, render_pipeline(NATIVE))
    batch = make_batch([SpanIn(trace) for trace in range(1, 1001)]).SerializeToString()

    for token in ("segment-1", "segment-1", "segment-2"):
        store.insert_otlp([batch], project="replay", token=token)

    counted = store.query("SELECT count() AS n FROM spanwell.spans WHERE project = 'replay'").to_pylist()
    assert counted == [{"n": 2000}]


def test_a_refused_segment_leaves_nothing_behind(store: Store) -> None:
    batch = make_batch([SpanIn(1)]).SerializeToString()

    with pytest.raises(QueryError):
        store.insert_otlp([batch, b"\x0a\xff\xff\x03torn"], project="torn", token="segment-3")

    assert store.query("SELECT count() AS n FROM spanwell.spans WHERE project = 'torn'").to_pylist() == [{"n": 0}]
