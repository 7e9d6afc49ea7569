"""The worker as a process, between neighbours that are real HTTP servers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response

from spanwell.settings import Settings
from spanwell_collector.worker.schedule import utc_now
from tests.collector.worker.fakes import FakeCollector, FakeProxy, FakeReceiver, served, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUBRIC = {"name": "help", "question": "Does it help?", "labels": {"pass": "yes", "fail": "no"}, "pass": "pass"}
VERDICT = '{"reason": "clear", "label": "pass"}'


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def configured(tmp_path: Path, receiver_url: str, collector_port: int = 9, proxy_port: int = 9) -> dict[str, str]:
    """The environment of a worker with one judge and one rule that fires at once."""
    (tmp_path / "rubric.yaml").write_text(json.dumps(RUBRIC))
    receiver = {"name": "oncall", "url": receiver_url, "secret": SECRET, "allow_private": True}
    rule = {"name": "slow", "metric": "p95_ms", "op": ">", "threshold": 2000, "receiver": "oncall", "every_seconds": 1}
    judge = {"name": "helpful", "rubric": "rubric.yaml", "model": "judge", "sample": 1.0, "every_seconds": 1}
    document = {"judges": [judge], "drift": {"enabled": False}, "alerts": {"receivers": [receiver], "rules": [rule]}}
    (tmp_path / "spanwell.yaml").write_text(json.dumps(document))
    settings = Settings(
        data=tmp_path / "data", config=tmp_path / "spanwell.yaml", collector_port=collector_port, proxy_port=proxy_port
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
    return {**inherited, **settings.environ()}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "spanwell_collector.worker", *arguments]


@contextmanager
def running(environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command(), env=environ, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def sample(number: int) -> dict[str, Any]:
    ids = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "user_id": "", "session_id": ""}
    texts = {"input": '[{"role": "user", "content": "q"}]', "output": '[{"role": "assistant", "content": "a"}]'}
    return {**ids, **texts, "ts": utc_now() - timedelta(minutes=number + 1), "app": "shop", "model": "m"}


def test_a_worker_killed_again_and_again_neither_loses_nor_repeats(tmp_path: Path) -> None:
    collector = FakeCollector(overview={"requests": 9, "p95_ms": 2500.0}, samples=[sample(n) for n in range(6)])
    proxy = FakeProxy([VERDICT, VERDICT, Response(status_code=503), VERDICT])
    receiver = FakeReceiver(lambda number: Response(status_code=503 if number == 1 else 204))

    with served(collector.app()) as collector_url, served(proxy.app()) as proxy_url, served(receiver.app()) as url:
        environ = configured(tmp_path, url, collector_port=port_of(collector_url), proxy_port=port_of(proxy_url))
        with running(environ) as first:
            wait_until(lambda: len(receiver.bodies) == 1 and len(collector.posted.get("scores", [])) == 2)
            first.send_signal(signal.SIGKILL)
            first.wait()
        with running(environ) as second:
            wait_until(lambda: len(receiver.bodies) == 2 and len(collector.posted["scores"]) == 6)
            wait_until(lambda: collector.posted["alerts/events"][-1]["delivery"] == "delivered")
            second.send_signal(signal.SIGTERM)
            assert second.wait(10) == 0

    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1
    assert receiver.bodies[0] == receiver.bodies[1]
    assert len({score["span_id"] for score in collector.posted["scores"]}) == len(collector.posted["scores"]) == 6
    assert {event["state"] for event in collector.posted["alerts/events"]} == {"firing"}


def test_a_worker_without_neighbours_lives_and_only_one_runs(tmp_path: Path) -> None:
    environ = configured(tmp_path, "http://127.0.0.1:9")
    heartbeat = tmp_path / "data" / "worker" / "heartbeat"

    with running(environ) as process:
        wait_until(heartbeat.exists)
        born = heartbeat.stat().st_mtime
        wait_until(lambda: heartbeat.stat().st_mtime > born)
        second = subprocess.run(command(), env=environ, capture_output=True, text=True, timeout=30, check=False)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0

    assert second.returncode == 2
    assert second.stderr.startswith("error: another worker runs on")


def test_check_starts_nothing(tmp_path: Path) -> None:
    environ = configured(tmp_path, "http://127.0.0.1:9")

    done = subprocess.run(command("--check"), env=environ, capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "complaint"),
    [
        (["--check"], {"SPANWELL_CONFIG": "nowhere.yaml"}, "error: nowhere.yaml: No such file or directory\n"),
        (["--check"], {"SPANWELL_COLOUR": "red"}, "error: unknown variable SPANWELL_COLOUR"),
        (["--chek"], {}, "usage: python -m spanwell_collector.worker [--check]\n"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], environ: dict[str, str], complaint: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}

    done = subprocess.run(
        command(*arguments), env={**inherited, **environ}, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1
