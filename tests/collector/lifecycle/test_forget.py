"""Forgetting a user: rows, corrections and bytes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spanwell.errors import QueryError
from spanwell_collector.lifecycle.forget import STILL_COMING, forget_user
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import connect
from tests.services import Service, start_collector

ALICE, SECRET = "alice-4711-sentinel", "my-secret-prompt-sentinel"
NOW = datetime.now(UTC)
INSERT_SPANS = """
INSERT INTO spanwell.spans (project, ts, trace_id, span_id, user_id, duplicate_of, attributes) VALUES
('shop', now64(6), 'a1', '1', {user:String}, '', map('note', {secret:String})),
('shop', now64(6), 'a1', '2', '', '', map('tool', {secret:String})),
('shop', now64(6), 'a1', '3', 'bob', '', map()),
('shop', now64(6), 'a2', '1', '', 'a1:1', map('twin', {secret:String})),
('shop', now64(6), 'b1', '1', 'bob', '', map()),
('bank', now64(6), 'a3', '1', {user:String}, '', map())
"""
INSERT_TEXTS = """
INSERT INTO spanwell.texts (project, ts, trace_id, span_id, input)
SELECT project, ts, trace_id, span_id, if(user_id = 'bob', 'of bob', {secret:String}) FROM spanwell.spans
"""
INSERT_SCORES = """
INSERT INTO spanwell.scores (project, ts, trace_id, span_id, name, source, author, comment) VALUES
('shop', now64(6), 'a1', '1', 'good', 'judge', 'm', {secret:String}),
('shop', now64(6), 'a1', '', 'good', 'judge', 'm', {secret:String}),
('shop', now64(6), 'b1', '1', 'good', 'user', {user:String}, ''),
('shop', now64(6), 'b1', '1', 'good', 'human', 'bob', '')
"""
INSERT_OTHERS = (
    "INSERT INTO spanwell.usage_daily_users (project, day, user_id) VALUES ('shop', now(), {user:String})",
    "INSERT INTO spanwell.metrics (project, ts, labels) VALUES ('shop', now64(6), map('user.id', {user:String}))",
    "INSERT INTO spanwell.alert_events (project, ts, labels) VALUES ('shop', now64(6), map('user', {user:String}))",
)
SAME_TRACE = """
INSERT INTO spanwell.spans (project, ts, trace_id, span_id, duplicate_of) VALUES
('till', now64(6), 'a1', '1', ''), ('till', now64(6), 'z', '1', 'a1:1')
"""
LATE_SPAN = """
INSERT INTO spanwell.spans (project, ts, trace_id, span_id, user_id) VALUES ('shop', now64(6), 'l', '1', {user:String})
"""
SPANS_LEFT = "SELECT project, trace_id, span_id FROM spanwell.spans ORDER BY ALL"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = Store(path=home)
    migrate(store, load_migrations())
    words = {"user": ALICE, "secret": SECRET}
    for statement in (INSERT_SPANS, INSERT_TEXTS, INSERT_SCORES, *INSERT_OTHERS):
        store.command(statement, words)
    letter = make_batch([SpanIn(attributes={"user.id": ALICE})]).SerializeToString()
    store.insert("dead_letters", [("1", NOW, "shop", letter)], ("id", "received", "project", "payload"))
    yield store
    store.close()


def _grep(word: str, place: Path) -> list[str]:
    return subprocess.run(["grep", "-rla", word, place], capture_output=True, text=True, check=False).stdout.split()


def test_nothing_of_a_user_is_left_in_any_file(store: Store, home: Path) -> None:
    # A correction lies in a part of its own, a delete is first but a mark.
    store.command("UPDATE spanwell.spans SET session_id = user_id WHERE trace_id = 'a1'")
    store.command("DELETE FROM spanwell.spans WHERE trace_id = 'a1' AND span_id = '2'")
    assert _grep(SECRET, home)

    forgotten = forget_user(store, ALICE)

    assert _grep(ALICE, home) == [] == _grep(SECRET, home)
    assert [line for line in forgotten.left if "part" in line] == []


def test_the_rows_of_others_stay(store: Store) -> None:
    forgotten = forget_user(store, ALICE)

    assert forgotten.rows == {
        "texts": 4,
        "scores": 3,
        "usage_daily_users": 1,
        "metrics": 1,
        "alert_events": 1,
        "dead_letters": 1,
        "spans": 4,
    }
    left = [(row["trace_id"], row["span_id"]) for row in store.query(SPANS_LEFT).to_pylist()]
    assert left == [("a1", "3"), ("b1", "1")]
    assert store.query("SELECT author FROM spanwell.scores").to_pylist() == [{"author": "bob"}]
    assert store.query("SELECT uniqExact(project) AS projects FROM spanwell.hours_changed").to_pylist() == [
        {"projects": 2}
    ]


def test_one_project_forgets_and_another_remembers(store: Store) -> None:
    forgotten = forget_user(store, ALICE, project="bank")

    assert {table: rows for table, rows in forgotten.rows.items() if rows} == {"texts": 1, "spans": 1}
    assert forget_user(store, ALICE, project="bank", dry_run=True).rows["spans"] == 0
    assert forget_user(store, ALICE, project="shop", dry_run=True).rows["spans"] == 3


def test_a_dry_run_counts_and_deletes_nothing(store: Store) -> None:
    assert forget_user(store, ALICE, dry_run=True).rows == forget_user(store, ALICE, dry_run=True).rows
    assert store.query(SPANS_LEFT).num_rows == 6


def test_an_unknown_user_is_no_reason_to_delete(store: Store) -> None:
    assert set(forget_user(store, "nobody' OR 1 = 1 --").rows.values()) == {0}


def test_no_user_at_all_is_refused(store: Store) -> None:
    with pytest.raises(QueryError, match="user_id is empty"):
        forget_user(store, "")

    assert store.query(SPANS_LEFT).num_rows == 6


def test_another_projects_trace_of_the_same_id_stays(store: Store) -> None:
    store.command(SAME_TRACE)
    store.command("INSERT INTO spanwell.texts (project, ts, trace_id, input) VALUES ('till', now64(6), 'a1', 'theirs')")

    forget_user(store, ALICE)

    assert store.query("SELECT 1 AS span FROM spanwell.spans WHERE project = 'till'").num_rows == 2
    assert store.query("SELECT 1 AS text FROM spanwell.texts WHERE project = 'till'").num_rows == 1


@pytest.mark.parametrize("calls", [1, 1000])
def test_a_call_that_comes_meanwhile_is_forgotten_or_named(
    store: Store, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, alter = iter(range(calls)), store.alter

    def alter_late(table: str, change: str, *, wait: bool = False) -> None:
        alter(table, change, wait=wait)
        if table == "spans" and change.startswith("DELETE") and next(left, None) is not None:
            store.command(LATE_SPAN, {"user": ALICE})

    monkeypatch.setattr(store, "alter", alter_late)
    forgotten = forget_user(store, ALICE)

    assert (store.query(SPANS_LEFT).num_rows > 2, STILL_COMING in forgotten.left) == (calls > 1, calls > 1)


def test_what_waits_in_a_spool_is_named(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwell_collector.lifecycle.forget.SPOOL_SECONDS", 0.1)
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "1.spool").write_bytes(make_batch([SpanIn(attributes={"user.id": ALICE})]).SerializeToString())
    (spool / "2.spool").write_bytes(make_batch([SpanIn(attributes={"user.id": ALICE + "2"})]).SerializeToString())

    forgotten = forget_user(store, ALICE, spools=[spool])

    assert [line for line in forgotten.left if "holds" in line] == [f"{spool / '1.spool'} holds the id"]


def test_a_forgetting_that_was_killed_is_cleared_away(store: Store, home: Path) -> None:
    store.command("CREATE TABLE spanwell.forgetting (user_id String) ENGINE = MergeTree ORDER BY user_id")
    store.command("INSERT INTO spanwell.forgetting VALUES ('left-behind')")

    forget_user(store, "bob")

    assert _grep("left-behind", home) == []


def test_the_command_forgets_and_writes_down_no_name(tmp_path: Path) -> None:
    service = start_collector(tmp_path)
    with connect(service) as client:
        client.send(make_batch([SpanIn(attributes=call(user__id=ALICE)), SpanIn(2, attributes=call())]))
        dry = _spanwell(service, "users", "forget", ALICE, "--dry-run")
        dots = _spanwell(service, "users", "forget", "..", "--dry-run")
        done = _spanwell(service, "users", "forget", ALICE)
        left = client.count()

    assert (dry.returncode, dry.stdout.splitlines()[0]) == (0, "spans: found 1")
    assert (dots.returncode, dots.stdout.splitlines()[0]) == (0, "found nothing")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "spans: deleted 1")
    assert left == 1
    assert service.stop() == 0
    assert _grep(ALICE, tmp_path) == []


def _spanwell(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
    command = [sys.executable, "-m", "spanwell.cli", *arguments]
    return subprocess.run(
        command, env=environ | service.settings.environ(), capture_output=True, text=True, timeout=60, check=False
    )
