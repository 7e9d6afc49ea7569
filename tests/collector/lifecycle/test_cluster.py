"""How statements are spelled for a cluster: as text, and as the engine parses them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from spanwell.errors import QueryError
from spanwell_collector.calls import writing as calls
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.lifecycle.copy import CREATE_COPIED
from spanwell_collector.lifecycle.forget import CONDITIONS, CREATE_KEYS, FIND_DUPLICATES, FIND_SPANS
from spanwell_collector.lifecycle.retention import Days, Retention, make_rules
from spanwell_collector.prices import gpu, reprice
from spanwell_collector.rollups import builder
from spanwell_collector.store.client import OF_SPANS, Store
from spanwell_collector.store.cluster import CLUSTER_SETTINGS, pick_node, render
from spanwell_collector.store.migrate import CREATE_DATABASE, CREATE_MIGRATIONS, load_migrations, migrate
from spanwell_collector.store.pipeline.install import CREATE_PIPELINES, install_pipeline, render_pipeline

SNAPSHOT = Path(__file__).with_name("cluster.sql")
ON = "ON CLUSTER 'main'"
SUMMED = {"table": "usage_hourly", "column": "hour", "period": "hour", "group": "hour"}


# What is said once the tables are there, by whom.
LATER = (
    calls.COPY_TEXTS + "AND" + calls.THEIRS,
    gpu.UPDATE.replace("<theirs>", gpu.THEIRS),
    calls.UPDATE.format(assignments="user_id = 'a'", theirs=calls.THEIRS),
    reprice.UPDATE,
    *(text.format(**SUMMED, columns="a", aggregation="b", condition="c") for text in (builder.SUM, builder.SWEEP)),
    *(f"DELETE FROM spanwell.{table} WHERE {condition}" for table, condition in OF_SPANS.items()),
    *(f"ALTER TABLE spanwell.{table} DELETE WHERE {condition}" for table, condition in CONDITIONS.items()),
    FIND_SPANS,
    FIND_DUPLICATES,
    "KILL MUTATION WHERE database = 'spanwell' AND NOT is_done SYNC",
    "SYSTEM RELOAD DICTIONARY spanwell.price_cards",
    "SYSTEM STOP CLEANUP spanwell.spans",
    "SYSTEM STOP TTL MERGES",
    "ALTER TABLE spanwell.spans APPLY PATCHES",
    "ALTER TABLE spanwell.spans APPLY PATCHES IN PARTITION '2026-11-20'",
    "ALTER TABLE spanwell.spans APPLY DELETED MASK",
    "ALTER TABLE spanwell.spans DROP PART '20261120_1_1_0'",
    "ALTER TABLE spanwell.spans MODIFY SETTING ttl_only_drop_parts = 1",
)
# An engine that has a keeper in memory makes replicated tables; without a server around it, it never fills them.
REPLICATING = """
<clickhouse>
    <zookeeper><implementation>testkeeper</implementation></zookeeper>
    <macros><shard>01</shard><replica>one</replica></macros>
    <remote_servers><main><shard><replica><host>localhost</host><port>9000</port></replica></shard></main></remote_servers>
</clickhouse>
"""
REPLICA = """
import json, os, sys
import chdb
asked = json.load(sys.stdin)
connection = chdb.connect(asked["place"])
settings = ", ".join(f"{name} = '{value}'" for name, value in asked["settings"].items())
for statement in (f"SET {settings}", *asked["statements"]):
    try:
        connection.query(statement, "Null")
    except RuntimeError as error:
        words = ("shutdown called", "TABLE_ALREADY_EXISTS", "ALL_CONNECTION_TRIES_FAILED")
        if not any(word in str(error) for word in words):
            print(statement, error)
sys.stdout.flush()
os._exit(0)  # a replica that never began does not end either
"""


def _render(statements: Iterable[str]) -> list[str]:
    """For an engine that is no member of a cluster."""
    return [text.replace(f" {ON}", "") for statement in statements for text in render(statement, "main")]


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


@pytest.mark.parametrize("statement", LATER)
def test_what_is_said_later_is_spelled_too(statement: str, engine: Store) -> None:
    (text,) = render(statement, "main")

    assert statement.lstrip().startswith("INSERT") or ON in text
    _parse(engine, text)


def test_an_engine_takes_the_tables_as_replicated_ones_and_what_deletes_from_them(tmp_path: Path) -> None:
    created = [text for text in _render(_list_schema()) if text.startswith(("CREATE DATABASE", "CREATE TABLE"))]
    changed = _render(f"ALTER TABLE spanwell.{table} DELETE WHERE {CONDITIONS[table]}" for table in CONDITIONS)
    (tmp_path / "config.xml").write_text(REPLICATING, encoding="utf-8")

    asked = {"place": f"{tmp_path / 'store'}?config-file={tmp_path / 'config.xml'}", "settings": CLUSTER_SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", REPLICA],
        input=json.dumps({**asked, "statements": [*created, *changed]}),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert done.stdout == ""


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
