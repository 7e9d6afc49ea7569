"""How statements are spelled for a cluster: as text, and as the engine parses them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanwell.errors import QueryError
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.lifecycle.copy import CREATE_COPIED
from spanwell_collector.lifecycle.forget import CREATE_KEYS
from spanwell_collector.lifecycle.retention import Days, Retention, make_rules
from spanwell_collector.store.client import Store
from spanwell_collector.store.cluster import pick_node, render
from spanwell_collector.store.migrate import CREATE_DATABASE, CREATE_MIGRATIONS, load_migrations, migrate
from spanwell_collector.store.pipeline.install import CREATE_PIPELINES, install_pipeline, render_pipeline

SNAPSHOT = Path(__file__).with_name("cluster.sql")
ON = "ON CLUSTER 'main'"


def _list_schema() -> list[str]:
    """What the collector says to a new store, the views apart."""
    migrations = [statement for migration in load_migrations() for statement in migration.statements()]
    rules = [f"ALTER TABLE spanwell.{rule.table} MODIFY TTL {rule.ttl}" for rule in make_rules(Retention(Days(), {}))]
    tables = [CREATE_DATABASE, CREATE_MIGRATIONS, CREATE_PIPELINES, CREATE_KEYS, CREATE_COPIED]
    return [*tables, *migrations, *rules]


def _list_views() -> list[str]:
    return render_pipeline(render_mapping(load_mapping()))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    yield store
    store.close()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "CREATE TABLE spanwell.t\n(\n    trace_id String\n)\nENGINE = MergeTree\nORDER BY trace_id\n"
            "SETTINGS non_replicated_deduplication_window = 10",
            [
                f"CREATE TABLE spanwell.t_local {ON}\n(\n    trace_id String\n)\n"
                "ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')\n"
                "ORDER BY trace_id\nSETTINGS replicated_deduplication_window = 10",
                f"CREATE TABLE spanwell.t {ON} AS spanwell.t_local "
                "ENGINE = Distributed('main', 'spanwell', 't_local', cityHash64(trace_id))",
            ],
        ),
        (
            "CREATE TABLE IF NOT EXISTS spanwell.k (a Int8, v Int8) ENGINE = ReplacingMergeTree(v) ORDER BY (a, b)",
            [
                f"CREATE TABLE IF NOT EXISTS spanwell.k_local {ON} (a Int8, v Int8) "
                "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', v)"
                " ORDER BY (a, b)",
                f"CREATE TABLE IF NOT EXISTS spanwell.k {ON} AS spanwell.k_local "
                "ENGINE = Distributed('main', 'spanwell', 'k_local', cityHash64(a, b))",
            ],
        ),
        (
            "CREATE TABLE spanwell.b AS spanwell.a ENGINE = Null",
            [f"CREATE TABLE spanwell.b {ON} AS spanwell.a ENGINE = Null"],
        ),
        (
            "ALTER TABLE spanwell.t ADD COLUMN a Map(String, String) DEFAULT ', x' AFTER b, ADD INDEX i a TYPE minmax",
            [
                f"ALTER TABLE spanwell.t_local {ON} "
                "ADD COLUMN a Map(String, String) DEFAULT ', x' AFTER b, ADD INDEX i a TYPE minmax",
                f"ALTER TABLE spanwell.t {ON} ADD COLUMN a Map(String, String) DEFAULT ', x' AFTER b",
            ],
        ),
        ("ALTER TABLE spanwell.t DELETE WHERE a = 1", [f"ALTER TABLE spanwell.t_local {ON} DELETE WHERE a = 1"]),
        ("UPDATE spanwell.t SET a = 1 WHERE b", [f"UPDATE spanwell.t_local {ON} SET a = 1 WHERE b"]),
        ("DELETE FROM spanwell.t WHERE a", [f"DELETE FROM spanwell.t_local {ON} WHERE a"]),
        (
            "DROP TABLE spanwell.t",
            [f"DROP TABLE IF EXISTS spanwell.t {ON} SYNC", f"DROP TABLE IF EXISTS spanwell.t_local {ON} SYNC"],
        ),
        ("INSERT INTO spanwell.t SELECT 1", ["INSERT INTO spanwell.t SELECT 1"]),
        ("CREATE OR REPLACE FUNCTION f AS (a) -> a", [f"CREATE OR REPLACE FUNCTION f {ON} AS (a) -> a"]),
        ("SYSTEM RELOAD DICTIONARY spanwell.d", [f"SYSTEM RELOAD DICTIONARY {ON} spanwell.d"]),
        ("SYSTEM STOP MERGES", [f"SYSTEM STOP MERGES {ON}"]),
        ("SYSTEM STOP CLEANUP spanwell.t", [f"SYSTEM STOP CLEANUP {ON} spanwell.t_local"]),
    ],
)
def test_a_statement_is_spelled_for_a_cluster(statement: str, expected: list[str], engine: Store) -> None:
    rendered = render(statement, "main")

    assert rendered == expected
    for text in rendered:
        _parse(engine, text)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(QueryError, match="not known how to run on a cluster: RENAME TABLE"):
        render("RENAME TABLE spanwell.a TO spanwell.b", "main")


def test_the_schema_is_spelled_as_before() -> None:
    """Set SNAPSHOT=1 to write the file anew; read the difference before you commit it."""
    spelled = [text for statement in _list_schema() for text in render(statement, "main")]
    spelled += [text.splitlines()[0] for statement in _list_views() for text in render(statement, "main")]
    snapshot = "\n\n".join(spelled) + "\n"
    if os.environ.get("SNAPSHOT"):
        SNAPSHOT.write_text(snapshot, encoding="utf-8")

    assert snapshot == SNAPSHOT.read_text(encoding="utf-8")


def test_the_engine_parses_every_statement(engine: Store) -> None:
    for statement in (*_list_schema(), *_list_views()):
        for text in render(statement, "main"):
            _parse(engine, text)


def test_a_segment_goes_to_the_same_node_at_every_attempt() -> None:
    nodes = ["clickhouse://one", "clickhouse://two", "clickhouse://three"]
    segments = [f"segment-{number}" for number in range(300)]

    picked = [pick_node(segment, nodes) for segment in segments]

    assert picked == [pick_node(segment, nodes[::-1]) for segment in segments]
    assert all(picked.count(node) > 60 for node in nodes)
    left = [pick_node(segment, nodes[:2]) for segment in segments]
    assert all(before == after for before, after in zip(picked, left, strict=True) if before != nodes[2])


@pytest.mark.skipif("CLICKHOUSE_URL" not in os.environ, reason="needs a ClickHouse server at CLICKHOUSE_URL")
def test_a_server_takes_the_schema_and_a_span() -> None:
    store = Store(dsn=os.environ["CLICKHOUSE_URL"], cluster=os.environ.get("CLICKHOUSE_CLUSTER", ""))
    migrate(store, load_migrations())

    install_pipeline(store, render_pipeline(render_mapping(load_mapping())))

    assert migrate(store, load_migrations()) == []
    store.close()


def _parse(engine: Store, text: str) -> None:
    engine.query("SELECT formatQuery({text:String}) AS parsed", {"text": text})
