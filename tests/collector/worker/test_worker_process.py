"""The worker as a process, between neighbours that are real HTTP servers."""

import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from spanwell_collector.worker.__main__ import main
from spanwell_collector.worker.schedule import utc_now
from tests.collector.worker.fakes import FakeCollector, FakeProxy, FakeReceiver, served, wait_until
from tests.collector.worker.processes import command, configured, running

VERDICT = '{"reason": "clear", "label": "pass"}'


def sample(number: int) -> dict[str, Any]:
    ids = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "user_id": "", "session_id": ""}
    texts = {"input": '[{"role": "user", "content": "q"}]', "output": '[{"role": "assistant", "content": "a"}]'}
    return {**ids, **texts, "ts": utc_now() - timedelta(minutes=number + 1), "app": "shop", "model": "m"}


def test_a_worker_killed_between_a_transition_and_its_delivery_neither_loses_nor_repeats(tmp_path: Path) -> None:
    collector = FakeCollector(overview={"requests": 9, "p95_ms": 2500.0}, samples=[sample(n) for n in range(6)])
    proxy = FakeProxy([VERDICT, VERDICT, Response(status_code=503)])
    receiver = FakeReceiver(lambda _: Response(status_code=503))
    scores = collector.posted.setdefault("scores", [])

    with served(collector.app()) as collector_url, served(proxy.app()) as proxy_url, served(receiver.app()) as url:
        environ = configured(tmp_path, collector=collector_url, proxy=proxy_url, receiver=url)
        with running(environ) as first:
            wait_until(lambda: bool(receiver.bodies) and len(scores) == 2)
            first.send_signal(signal.SIGKILL)
            first.wait()
        proxy.answers, receiver.respond = [VERDICT], lambda _: Response(status_code=204)
        with running(environ) as second:
            wait_until(lambda: len(scores) == 6)
            wait_until(lambda: collector.posted["alerts/events"][-1]["delivery"] == "delivered")
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0

    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1
    assert set(receiver.bodies) == {receiver.bodies[0]}
    assert len({score["span_id"] for score in scores}) == len(scores) == 6
    assert {event["state"] for event in collector.posted["alerts/events"]} == {"firing"}


def test_a_worker_without_neighbours_lives_and_only_one_runs(tmp_path: Path) -> None:
    environ = configured(tmp_path)
    heartbeat = tmp_path / "data" / "worker" / "heartbeat"

    with running(environ) as process:
        wait_until(heartbeat.exists)
        born = heartbeat.stat().st_mtime
        wait_until(lambda: heartbeat.stat().st_mtime > born)
        second = subprocess.run(command(), env=environ, capture_output=True, text=True, timeout=60, check=False)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    assert second.returncode == 2
    assert second.stderr.startswith("error: another worker runs on")


def test_check_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in configured(tmp_path).items():
        monkeypatch.setenv(name, value)

    code = main(["--check"])

    assert (code, capsys.readouterr().out) == (0, "ok\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "variable", "complaint"),
    [
        (["--check"], ("SPANWELL_CONFIG", "nowhere.yaml"), "error: nowhere.yaml: No such file or directory\n"),
        (["--check"], ("SPANWELL_COLOUR", "red"), "error: unknown variable SPANWELL_COLOUR"),
        (["--chek"], ("SPANWELL_PROJECT", "p"), "usage: python -m spanwell_collector.worker [--check]\n"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str],
    variable: tuple[str, str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(*variable)

    code = main(arguments)

    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith(complaint)
    assert said.count("\n") == 1
