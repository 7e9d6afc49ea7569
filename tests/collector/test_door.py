"""The SQL door, through the stock client, and what it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from spanwell_collector.store.guard import DoorError, check_tree
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client
from tests.services import LOOPBACK


@pytest.fixture(scope="module")
def door(collector: Client) -> Iterator[Any]:
    spans = [SpanIn(0x7000 + index, 1, attributes=call(spanwell__cost_usd="0.25")) for index in range(3)]
    collector.send(make_batch(spans, {"spanwell.project": "door"}))
    collector.await_count(3, project="door")
    client = clickhouse_connect.get_client(host=LOOPBACK, port=collector.service.settings.sql_port)
    yield client
    client.close()


def test_a_stock_client_counts_and_binds(door: Any) -> None:
    sql = "SELECT count(), sum(cost_usd) FROM spanwell.spans WHERE project = {project:String}"

    rows = door.query(sql, parameters={"project": "door"}).result_rows

    assert [(count, float(cost)) for count, cost in rows] == [(3, 0.75)]


def test_values_come_back_as_they_went(door: Any) -> None:
    text = "it's; \\ \n \t -- \u2713"

    assert door.query("SELECT {a:String}, {b:Array(UInt8)}", parameters={"a": text, "b": [1, 2]}).result_rows == [
        (text, [1, 2])
    ]


def test_frames_and_arrow_and_streams(door: Any) -> None:
    frame = door.query_df("SELECT trace_id FROM spanwell.spans WHERE project = 'door' ORDER BY trace_id")
    table = door.query_arrow("SELECT number FROM numbers(10)")
    with door.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
        streamed = sum(len(block) for block in blocks)

    assert frame["trace_id"][0] == f"{0x7000:032x}"
    assert (table.num_rows, streamed) == (10, 200_000)


def test_an_empty_result_still_has_its_columns(door: Any) -> None:
    assert door.query("SELECT trace_id, ts FROM spanwell.spans LIMIT 0").column_names == ("trace_id", "ts")


def test_harmless_settings_may_be_sent_and_limits_only_tightened(door: Any) -> None:
    sql = "SELECT getSetting('join_use_nulls'), getSetting('max_execution_time')"

    asked = door.query(sql, settings={"join_use_nulls": 1, "max_execution_time": 5}).result_rows
    loosened = door.query(sql, settings={"max_execution_time": 0}).result_rows

    assert (asked, loosened) == ([(True, 5.0)], [(False, 600.0)])


@pytest.mark.parametrize(("code", "sql"), [(60, "SELECT * FROM nothing"), (62, "SELEC 1"), (47, "SELECT nothing")])
def test_errors_have_clickhouse_numbers(door: Any, code: int, sql: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        door.query(sql)

    assert caught.value.code == code


REFUSED = [
    "INSERT INTO spanwell.spans (project) VALUES ('x')",
    "CREATE TABLE spanwell.x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "DROP TABLE spanwell.spans",
    "ALTER TABLE spanwell.spans DELETE WHERE 1",
    "TRUNCATE TABLE spanwell.spans",
    "OPTIMIZE TABLE spanwell.spans",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "KILL QUERY WHERE query_id = 'a' OR 1",
    "KILL QUERY WHERE query_id != 'a'",
    "KILL MUTATION WHERE query_id = 'a'",
    "SET readonly = 0",
    "USE system",
    "BACKUP TABLE spanwell.spans TO File('/tmp/x')",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_memory_usage = 0, max_execution_time = 999",
    "SELECT 1; DROP TABLE spanwell.spans",
    "SELECT 1 /* ' */; SELECT file('{path}') --'",
    "SELECT file('{path}')",
    "SELECT FiLe('{path}')",
    "SELECT `file`('{path}')",
    "SELECT 1 WHERE '' IN (SELECT file('{path}'))",
    "EXPLAIN SELECT * FROM file('{path}', 'CSV', 'a String')",
    "DESCRIBE TABLE file('{path}')",
    "SELECT * FROM file('{path}', 'CSV', 'a String')",
    "WITH x AS (SELECT * FROM file('{path}', 'CSV', 'a String')) SELECT * FROM x",
    "SELECT * FROM view(SELECT * FROM file('{path}', 'CSV', 'a String'))",
    "SELECT * FROM fileCluster('default', '{path}', 'CSV', 'a String')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'k', 's', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
    "SELECT * FROM cluster('default', 'system.one')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{path}', 't')",
    "SELECT * FROM executable('cat', 'CSV', 'a String')",
    "SELECT * FROM python(sys)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM iceberg('http://127.0.0.1:1/bucket/key')",
    "SELECT * FROM deltaLakeLocal('{path}')",
    "SELECT * FROM `{path}`",
    "SELECT 1 INTO OUTFILE '{path}.out'",
    "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{path}.out'",
    "SELECT 1 INTO OUTFILE '{path}.out' FORMAT TSV",
    "SELECT 1 INTO /* */ OUTFILE '{path}.out' FORMAT TSV",
    "EXPLAIN AST SELECT 1",
    "SELECT 1 FORMAT TSV SETTINGS max_memory_usage = 0",
    "SELECT 1 FORMAT TSV, file('{path}')",
    "SELECT file('{path}') -- FORMAT TSV",
    "SELECT '/* FORMAT ' || file('{path}') || ' FORMAT TSV */'",
    "SELECT * FROM (SELECT 1 INTO OUTFILE '{path}.out' FORMAT TSV)",
    "EXPLAIN AST SELECT 1 INTO OUTFILE '{path}.out' FORMAT TSV",
    "SHOW CREATE TABLE spanwell.spans INTO OUTFILE '{path}.out'",
    ", toUInt32(file('{path}')) FROM (SELECT 1 AS EXPLAIN)",
    "FROM (SELECT toUInt32(file('{path}')) AS EXPLAIN)",
    "INSERT INTO FUNCTION file('{path}.out', 'CSV', 'a String') SELECT 1",
    "SELECT hasColumnInTable('127.0.0.1:1', 'system', 'one', 'dummy')",
    "SELECT aiGenerate('x')",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_nothing_but_reading_tables_is_possible(door: Any, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("canary\n")

    with pytest.raises(DatabaseError) as caught:
        door.raw_query(sql.replace("{path}", str(secret)))

    assert caught.value.code in (164, 62, 60, 36, 701)
    assert "canary" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert door.query("SELECT count() FROM spanwell.spans WHERE project = 'door'").result_rows == [(3,)]


def test_an_insert_by_the_client_is_told_that_the_door_is_for_reading(door: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        door.insert("spanwell.texts", [["a", "b"]], column_names=["project", "trace_id"])

    assert caught.value.code == 164


def test_a_question_that_is_too_long_is_stopped_by_its_own_limit(door: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        door.query("SELECT count() FROM numbers(1000000000000)", settings={"max_execution_time": 1})

    assert caught.value.code == 159


def test_a_question_that_is_too_large_is_stopped(door: Any) -> None:
    sql = "SELECT number FROM numbers(2000)"

    with pytest.raises(DatabaseError) as caught:
        door.query(sql, settings={"max_result_rows": 1000})

    assert caught.value.code == 396


def test_an_unknown_statement_is_refused_by_its_root() -> None:
    with pytest.raises(DoorError, match="NewKindOfQuery is refused"):
        check_tree("NewKindOfQuery (children 1)\n Identifier x\n", frozenset())
