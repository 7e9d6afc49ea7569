"""What an engine writes about itself does not grow without bound."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spanwell_collector.store.client import Store

LOGS = Path(__file__).parents[3] / "deploy" / "clickhouse" / "logs.xml"
# What a ClickHouse server of 2026 writes when nobody says otherwise.
WRITTEN = {
    "asynchronous_insert_log",
    "asynchronous_metric_log",
    "background_schedule_pool_log",
    "backup_log",
    "blob_storage_log",
    "error_log",
    "latency_log",
    "metric_log",
    "opentelemetry_span_log",
    "part_log",
    "processors_profile_log",
    "query_log",
    "query_metric_log",
    "query_thread_log",
    "query_views_log",
    "session_log",
    "text_log",
    "trace_log",
    "zookeeper_log",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    yield store
    store.close()


def test_the_embedded_engine_keeps_no_log_on_the_disk(store: Store) -> None:
    store.operate("SYSTEM FLUSH LOGS")

    tables = store.query("SELECT name FROM system.tables WHERE database = 'system' AND endsWith(engine, 'MergeTree')")

    assert tables.num_rows == 0


def test_every_log_of_a_server_is_bounded_or_off() -> None:
    tables = [table for table in ElementTree.parse(LOGS).getroot() if table.tag.endswith("_log")]

    assert {table.tag for table in tables} == WRITTEN
    assert [table.tag for table in tables if table.get("remove") is None and table.find("ttl") is None] == []
