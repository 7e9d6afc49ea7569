"""A backup of a store that is written to, and what is made of it."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import orjson
import pytest

from spanwell.errors import ConfigError, StoreError
from spanwell_collector.lifecycle.backup import back_up, place_backup
from spanwell_collector.lifecycle.manifest import read_manifest
from spanwell_collector.lifecycle.restore import restore
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import PROTOBUF, connect
from tests.services import Service, start_collector

TEXTS = {"gen_ai.input.messages": "[]", "gen_ai.output.messages": "[]"}


class Backed:
    """A data directory, and a backup made of it while batches came in."""

    def __init__(self, home: Path, place: Path, sent: int) -> None:
        self.home = home
        self.place = place
        self.sent = sent


def spanwell(data: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
    command = [sys.executable, "-m", "spanwell.cli", *arguments, "--data", str(data)]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, timeout=60, check=False)


def _send(service: Service, first: int, batches: int, done: threading.Event | None = None) -> None:
    with httpx.Client(base_url=service.settings.collector_url, timeout=30) as http:
        for number in range(first, first + batches):
            spans = [SpanIn(trace=1000 * number + index, attributes={**call(), **TEXTS}) for index in range(1, 21)]
            body = make_batch(spans).SerializeToString()
            assert http.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
            if done is not None and done.is_set():
                return


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backed]:
    home = tmp_path_factory.mktemp("home")
    service = start_collector(home)
    (home / "proxy").mkdir()
    with closing(sqlite3.connect(home / "proxy" / "state.db")) as state, state:
        state.execute("CREATE TABLE keys AS SELECT 'key_1' AS id")
    with connect(service) as client:
        _send(service, 1, 10)
        client.await_count(200)
    done = threading.Event()
    sender = threading.Thread(target=_send, args=(service, 100, 1000, done))
    sender.start()
    port = str(service.settings.collector_port)
    made = [
        spanwell(home, "backup", *words, SPANWELL_COLLECTOR_PORT=port) for words in (["one"], ["packed", "--compress"])
    ]
    done.set()
    sender.join()
    assert [each.returncode for each in made] == [0, 0], made
    yield Backed(home, home / "backups" / "one", 200)
    assert service.stop() == 0


@pytest.mark.parametrize("name", ["one", "packed"])
def test_a_restored_store_has_every_row_of_the_backup(backed: Backed, tmp_path: Path, name: str) -> None:
    place = backed.place.with_name(name)
    tables = orjson.loads((place / "manifest.json").read_bytes())["tables"]

    done = spanwell(tmp_path, "restore", str(place))

    assert done.returncode == 0, done.stderr
    with closing(Store(path=tmp_path / "store")) as store:
        found = {
            table: store.query(f"SELECT count() AS n FROM spanwell.{table}")["n"].to_pylist()[0] for table in tables
        }
    assert found == tables
    assert tables["spans"] == tables["texts"] >= backed.sent  # one moment of both tables


def test_a_restored_store_is_served_and_written_to(backed: Backed, tmp_path: Path) -> None:
    spanwell(tmp_path, "restore", str(backed.place))

    service = start_collector(tmp_path)
    with connect(service) as client:
        client.send(make_batch([SpanIn(trace=7, attributes=call())], {"spanwell.project": "after"}))
        assert client.await_count(1, project="after") == 1
    assert service.stop() == 0


def test_a_correction_is_part_of_the_backup(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with closing(Store(path=tmp_path / "store", backups=backups)) as store:
        migrate(store, load_migrations())
        store.command("INSERT INTO spanwell.spans (ts, trace_id) SELECT now64(6), toString(number) FROM numbers(100)")
        store.command("UPDATE spanwell.spans SET user_id = 'corrected' WHERE trace_id = '7'")
        store.command("DELETE FROM spanwell.spans WHERE trace_id = '8'")
        back_up(store, tmp_path, backups / "one", compress=False, report=_ignore)

    restore(backups / "one", tmp_path / "new", report=_ignore)

    with closing(Store(path=tmp_path / "new" / "store")) as store:
        kept = store.query("SELECT count() AS spans, countIf(user_id = 'corrected') AS corrected FROM spanwell.spans")
    assert kept.to_pylist() == [{"spans": 99, "corrected": 1}]


def test_a_backup_whose_rows_are_past_their_time_is_restored(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with closing(Store(path=tmp_path / "store", backups=backups)) as store:
        migrate(store, load_migrations())
        store.operate("SYSTEM STOP MERGES")
        store.command("INSERT INTO spanwell.spans (ts, trace_id) SELECT now64(6) - INTERVAL 100 DAY, 'old'")
        back_up(store, tmp_path, backups / "one", compress=False, report=_ignore)

    def linger(step: str) -> None:
        if step == "counting rows":
            time.sleep(2)  # a merge that drops old rows begins within a second
            assert not (tmp_path / "new" / "store").exists()  # it is not whole yet

    assert restore(backups / "one", tmp_path / "new", report=linger).tables["spans"] == 1
    assert (tmp_path / "new" / "store").is_dir()


def _ignore(step: str) -> None:
    pass


def test_the_small_databases_come_back(backed: Backed, tmp_path: Path) -> None:
    spanwell(tmp_path, "restore", str(backed.place))

    with closing(sqlite3.connect(tmp_path / "proxy" / "state.db")) as state:
        assert state.execute("SELECT id FROM keys").fetchall() == [("key_1",)]


def test_a_flipped_bit_is_found_before_anything_is_restored(backed: Backed, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", backed.place, copy], check=True)
    victim = max((path for path in copy.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    victim.write_bytes(bytes([victim.read_bytes()[0] ^ 1]) + victim.read_bytes()[1:])

    done = spanwell(tmp_path / "data", "restore", str(copy))

    assert done.returncode == 1
    assert "is damaged: its checksum differs" in done.stderr
    assert not (tmp_path / "data" / "store").exists()


def test_a_backup_that_was_cut_short_is_none(tmp_path: Path) -> None:
    (tmp_path / "cut" / "store").mkdir(parents=True)

    done = spanwell(tmp_path / "data", "restore", str(tmp_path / "cut"))

    assert (done.returncode, done.stderr.count("holds no manifest.json")) == (1, 1)


def test_a_directory_that_holds_data_is_not_restored_into(backed: Backed) -> None:
    done = spanwell(backed.home.parent / backed.home.name, "restore", str(backed.place))

    assert done.returncode == 1
    assert "another collector already serves" in done.stderr


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../up", ".", "new/../.."])
def test_a_backup_goes_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies outside"):
        place_backup(tmp_path, name)


@pytest.mark.parametrize("name", ["one\0two", "long" * 100])
def test_a_name_that_no_file_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a file"):
        place_backup(tmp_path, name)


def test_a_small_database_that_is_damaged_is_named(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "state.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with closing(Store(path=tmp_path / "store", backups=backups)) as store:
        migrate(store, load_migrations())

        with pytest.raises(StoreError, match=r"proxy/state\.db could not be copied"):
            back_up(store, tmp_path, backups / "one", compress=False, report=_ignore)


@pytest.mark.parametrize("text", ['{"format": 1}', "[]", '{"format": 1, "created": "', "\xff"])
def test_a_manifest_that_is_damaged_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")

    with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
        read_manifest(tmp_path)


def test_a_backup_replaces_none(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()

    with pytest.raises(ConfigError, match="exists: name a new place"):
        place_backup(tmp_path, "one")
