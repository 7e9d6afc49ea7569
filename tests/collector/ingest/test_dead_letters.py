"""A span that the engine refuses for good: put aside, shown, replayed, dropped; everything around it is stored."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell.settings import Settings
from spanwell_collector.admin.__main__ import main
from spanwell_collector.ingest.dead import END_OF_REASON, make_letter
from tests.collector.batches import SpanIn, make_batch
from tests.collector.conftest import Client, connect, poll
from tests.services import Service, start_collector

CHANGE_STORE = """
import sys
from pathlib import Path
from spanwell_collector.store.client import Store
store = Store(path=Path(sys.argv[1]) / "store")
store.operate(sys.argv[2])
store.close()
"""
FORBID = "ALTER TABLE spanwell.spans ADD CONSTRAINT no_poison CHECK name != 'poison'"
ALLOW = "ALTER TABLE spanwell.spans DROP CONSTRAINT no_poison"
LETTERS = "/api/v1/dead-letters"


def _change_store(data: Path, sql: str) -> None:
    subprocess.run([sys.executable, "-c", CHANGE_STORE, data, sql], cwd=data, check=True)


def _start(data: Path, sql: str) -> Service:
    """A collector over a store that was changed while none ran."""
    if not (data / "store").exists():
        start_collector(data).stop()
    _change_store(data, sql)
    return start_collector(data)


def _letters(client: Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.http.get(LETTERS).json()["rows"]
    return rows


def _count(service: Service) -> int:
    sql = "SELECT count(), uniqExact(span_id) FROM spanwell.spans"
    url = f"http://127.0.0.1:{service.settings.sql_port}"
    rows, different = httpx.get(url, params={"query": sql}, timeout=30).text.split()
    assert rows == different
    return int(rows)


@pytest.fixture
def spool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`spanwell spool …` against a collector: its exit code, and the last line it says."""

    def run(settings: Settings, *arguments: str) -> tuple[int, str]:
        for name, value in settings.environ().items():
            monkeypatch.setenv(name, value)
        code = main(["spool", *arguments])
        return code, capsys.readouterr().out.splitlines()[-1]

    return run


def test_a_poisoned_span_is_put_aside_and_stored_when_the_cause_is_gone(
    tmp_path: Path, spool: Callable[..., tuple[int, str]]
) -> None:
    spans = [SpanIn(span=number, name="poison" if number == 3 else "fine") for number in range(1, 6)]
    service = _start(tmp_path, FORBID)
    with connect(service) as client:
        client.send(make_batch(spans))
        client.send(make_batch([SpanIn(trace=9, span=9)]))
        [letter] = poll(lambda: _letters(client), bool)
        content = client.http.get(f"{LETTERS}/{letter['id']}").json()["payload"]

        assert poll(lambda: _count(service), lambda count: count >= 5) == 5
        assert content["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] == f"{3:016x}"
        assert spool(service.settings, "list")[1].startswith(letter["id"])
        assert spool(service.settings, "replay", "--all") == (1, "0 stored, 1 refused again")
        assert len(_letters(client)) == 1
    service.stop()

    service = _start(tmp_path, ALLOW)
    with connect(service) as client:
        assert spool(service.settings, "replay", letter["id"]) == (0, "1 stored, 0 refused again")
        assert (_letters(client), _count(service)) == ([], 6)
    assert service.stop() == 0


def test_a_dead_letter_can_be_dropped(tmp_path: Path, spool: Callable[..., tuple[int, str]]) -> None:
    service = _start(tmp_path, FORBID)
    with connect(service) as client:
        client.send(make_batch([SpanIn(name="poison")]))
        [letter] = poll(lambda: _letters(client), bool)

        assert spool(service.settings, "drop", letter["id"]) == (0, "dropped")
        assert _letters(client) == []
        assert client.http.delete(f"{LETTERS}/{letter['id']}").status_code == 404
    assert service.stop() == 0


def test_a_file_that_was_left_becomes_a_letter(tmp_path: Path) -> None:
    record = b"\x01" + make_batch([SpanIn()]).SerializeToString()
    letter = make_letter(record, "because", project="default", received=datetime.now(UTC))
    (tmp_path / "collector" / "dead").mkdir(parents=True)
    (tmp_path / "collector" / "dead" / "old.otlp").write_bytes(record[1:])
    (tmp_path / "collector" / "dead" / "new.letter").write_bytes(b"because" + END_OF_REASON + record)

    service = start_collector(tmp_path)
    with connect(service) as client:
        letters = {row["id"]: row["reason"] for row in _letters(client)}

    assert letters[letter.id] == "because"
    assert len(letters) == 2
    assert list((tmp_path / "collector" / "dead").iterdir()) == []
    assert service.stop() == 0
