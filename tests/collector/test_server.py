"""The process: how it starts, refuses to start, and stops."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spanwell.health import free_port
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client, connect, poll
from tests.services import Service, start_collector


def _run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
    command = [sys.executable, "-m", "spanwell_collector", *arguments]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, timeout=30, check=False)


def test_check_validates_and_starts_nothing(tmp_path: Path) -> None:
    done = _run("--check", SPANWELL_DATA=str(tmp_path / "data"))

    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_wrong_setting_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = _run(*arguments, SPANWELL_SQL_PORT="eight")

    assert done.returncode == 2
    assert done.stderr == "error: SPANWELL_SQL_PORT='eight': write a whole number\n"


def test_a_second_collector_on_the_same_data_says_so(service: Service) -> None:
    done = _run(SPANWELL_DATA=str(service.settings.data), SPANWELL_COLLECTOR_PORT=str(free_port()))

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: another collector already serves ")
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_line(service: Service, tmp_path: Path) -> None:
    done = _run(
        SPANWELL_DATA=str(tmp_path),
        SPANWELL_COLLECTOR_PORT=str(service.settings.collector_port),
        SPANWELL_SQL_PORT=str(free_port()),
    )

    port = service.settings.collector_port
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1 port {port}: Address already in use")
    assert done.stderr.count("\n") == 1


def test_paths_are_those_of_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spanwell.yaml").write_text("retention: {spans_days: 50}\n", encoding="utf-8")
    service = start_collector(Path("data"), {"SPANWELL_CONFIG": "spanwell.yaml", "SPANWELL_BACKUP_DIR": "kept"})
    with connect(service) as client:
        applied = client.http.post("/api/v1/retention").status_code
        place = client.http.post("/api/v1/backups", json={"place": "one"}).json()["place"]
        poll(lambda: client.ask("backups")["state"], lambda state: state == "done")

    assert (applied, place) == (200, str(tmp_path / "kept" / "one"))
    assert (tmp_path / "kept" / "one" / "manifest.json").is_file()
    assert service.stop() == 0


def test_a_stop_stores_what_was_accepted(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_FLUSH_MS": "60000"})
    with connect(service) as client:
        client.send(make_batch([SpanIn(attributes=call())]))
        assert client.count() == 0

    assert service.stop() == 0
    assert list((tmp_path / "collector" / "spool").iterdir()) == []
    again = start_collector(tmp_path)
    with connect(again) as client:
        assert client.count() == 1
    assert again.stop() == 0


def test_a_token_is_asked_for_everywhere_but_health(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_API_TOKEN": "token-1"})
    door = f"http://127.0.0.1:{service.settings.sql_port}/?query=SELECT+1"
    bearer = {"authorization": "Bearer token-1"}

    with connect(service) as client:
        without = [client.http.get(path) for path in ("/api/v1/catalog", "/metrics", door)]
        without.append(client.send(make_batch([SpanIn()])))
        granted = [
            client.http.get("/api/v1/catalog", headers=bearer),
            client.send(make_batch([SpanIn()]), **bearer),
            client.http.get(door, headers={"x-clickhouse-key": "token-1"}),
            client.http.get(door, auth=("default", "token-1")),
            client.http.get("/health"),
        ]

    assert [reply.status_code for reply in without] == [401] * 4
    assert [reply.status_code for reply in granted] == [200] * 5
    assert service.stop() == 0


def test_the_numbers_are_served_for_prometheus(collector: Client) -> None:
    collector.send(make_batch([SpanIn(trace=0x8001)], {"spanwell.project": "metrics"}))

    text = collector.http.get("/metrics").text

    assert 'spanwell_items_accepted_total{signal="traces"}' in text
    assert 'spanwell_batches_total{outcome="200"}' in text
    assert "spanwell_spool_bytes" in text
