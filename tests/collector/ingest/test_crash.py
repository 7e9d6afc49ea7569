"""What was answered with 200 is there once, whatever happens to the process or the disk."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import PROTOBUF, connect, poll
from tests.services import Service, start_collector


def _send_until_killed(service: Service, first: int, seconds: float) -> list[int]:
    """Send one-span batches, kill -9 after `seconds`, and return the traces that were acknowledged."""
    acknowledged, trace, deadline = [], first, time.monotonic() + seconds
    with connect(service) as client:
        while time.monotonic() < deadline:
            trace += 1
            assert client.send(make_batch([SpanIn(trace, attributes=call())])).status_code == 200
            acknowledged.append(trace)
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    return acknowledged


def _stored(service: Service) -> list[int]:
    url = f"http://127.0.0.1:{service.settings.sql_port}"
    sql = "SELECT trace_id FROM spanwell.spans ORDER BY trace_id FORMAT TabSeparated"
    return [int(line, 16) for line in httpx.get(url, params={"query": sql}, timeout=30).text.split()]


def test_every_acknowledged_span_is_there_once_after_kill_9(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for attempt, seconds in enumerate((0.02, 0.1, 0.37, 0.9)):
        service = start_collector(tmp_path, {"SPANWELL_FLUSH_MS": "40"})
        acknowledged += _send_until_killed(service, first=attempt * 100_000, seconds=seconds)

    last = start_collector(tmp_path)
    with connect(last) as client:
        left = poll(lambda: client.http.get("/health").json()["spool_bytes"], lambda size: size == 0)
    stored = _stored(last)

    assert last.stop() == 0
    assert left == 0
    assert stored == acknowledged


def test_a_batch_sent_again_to_the_next_process_changes_nothing(tmp_path: Path) -> None:
    batch = make_batch([SpanIn(0x99, attributes=call())])
    stored = []
    for _ in range(2):
        service = start_collector(tmp_path)
        with connect(service) as client:
            assert client.send(batch).status_code == 200
            assert client.await_count(1) == 1
        stored.append(_stored(service))
        service.stop()

    assert stored == [[0x99], [0x99]]


def test_log_records_sent_again_to_the_next_process_change_nothing(tmp_path: Path) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(event_name="gen_ai.user.message")
    record.trace_id, record.span_id, record.time_unix_nano = b"\1" * 16, b"\1" * 8, time.time_ns()
    record.attributes.add(key="content").value.string_value = "hello"
    for _ in range(2):
        service = start_collector(tmp_path)
        with connect(service) as client:
            client.http.post("/v1/logs", content=request.SerializeToString(), headers=PROTOBUF)
            poll(lambda: client.http.get("/health").json()["spool_bytes"], lambda size: size == 0)
            texts = httpx.get(service.settings.sql_url, params={"query": "SELECT count() FROM spanwell.texts"}).text
        service.stop()

        assert int(texts) == 1


HALF_AN_INSERT = """
import sys
from pathlib import Path
from spanwell.spool import Spool
from spanwell_collector.store.client import Store
data = Path(sys.argv[1])
[segment] = Spool(data / "collector" / "spool", max_bytes=1_000_000).sealed()
store = Store(path=data / "store")
store.insert_otlp([record[1:] for record in segment.payloads()], project="default", token=segment.id)
store.command("DELETE FROM spanwell.texts WHERE true")
store.close()
"""


def test_an_insert_that_was_cut_short_is_made_whole_whatever_the_engine_remembers_of_it(tmp_path: Path) -> None:
    spans = [SpanIn(trace, attributes=call(gen_ai__input__messages="hello")) for trace in (1, 2)]
    first = start_collector(tmp_path, {"SPANWELL_FLUSH_MS": "60000"})
    with connect(first) as client:
        assert client.send(make_batch(spans)).status_code == 200
    first.process.kill()
    first.process.wait()
    subprocess.run([sys.executable, "-c", HALF_AN_INSERT, tmp_path], cwd=tmp_path, check=True)

    second = start_collector(tmp_path)
    with connect(second) as client:
        poll(lambda: client.http.get("/health").json()["spool_bytes"], lambda size: size == 0)
        texts = [client.ask(f"traces/{span.trace_id}/spans/{span.span_id}")["input"] for span in spans]

    assert _stored(second) == [1, 2]
    assert texts == ["hello", "hello"]
    assert [path.name for path in (tmp_path / "collector" / "scratch").iterdir()] == ["__cache__"]
    assert second.stop() == 0


def test_a_disk_that_fails_is_503_and_passes(tmp_path: Path) -> None:
    service = start_collector(tmp_path)
    pid = service.process.pid
    large = {"text": "x" * 300_000}

    with connect(service) as client:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        refused = client.send(make_batch([SpanIn(1, attributes=large)]))
        small = client.send(make_batch([SpanIn(2)]))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        accepted = client.send(make_batch([SpanIn(3, attributes=large)]))
        client.await_count(2)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert (small.status_code, accepted.status_code) == (200, 200)
    assert _stored(service) == [2, 3]
    assert service.stop() == 0


def test_a_full_spool_is_503_and_the_process_lives_on(tmp_path: Path) -> None:
    service = start_collector(tmp_path, {"SPANWELL_SPOOL_MAX_MB": "1", "SPANWELL_FLUSH_MS": "60000"})
    batches = [make_batch([SpanIn(number, attributes={"text": "x" * 400_000})]) for number in range(1, 5)]

    with connect(service) as client:
        replies = [client.send(batch).status_code for batch in batches]

        assert replies == [200, 200, 503, 503]
        assert client.http.get("/health").status_code == 200
    assert service.stop() == 0
