import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from spanwell.health import free_port
from spanwell_proxy.__main__ import main
from tests.proxy.gateway import MASTER_KEY, config, deployment

COMMAND = [sys.executable, "-m", "spanwell_proxy"]


def environ(data: Path, document: dict[str, Any], **settings: Any) -> dict[str, str]:
    file = data / "spanwell.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    wanted = {"data": data, "config": file, "collector_port": 1} | settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}
    return kept | {f"SPANWELL_{name.upper()}": str(value) for name, value in wanted.items()}


@contextmanager
def running(data: Path, **settings: Any) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    wanted = environ(data, config(deployment("http://127.0.0.1:1/v1")), proxy_port=port, **settings)
    with subprocess.Popen(COMMAND, env=wanted, stderr=subprocess.PIPE) as process:
        try:
            until_healthy(f"http://127.0.0.1:{port}")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def until_healthy(url: str, timeout_s: float = 30.0) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            health: dict[str, Any] = httpx.get(url + "/health", timeout=2).json()
            return health
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the proxy did not start")


def check(monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str]) -> int:
    """`python -m spanwell_proxy --check` in this process."""
    monkeypatch.setattr("sys.argv", ["spanwell_proxy", "--check"])
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    return main()


def test_check_says_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status = check(monkeypatch, environ(tmp_path, config()))

    assert (status, capsys.readouterr().out) == (0, "ok\n")


@pytest.mark.parametrize(
    ("document", "settings", "named"),
    [
        (config(deployment("nowhere")), {}, "litellm_params.api_base"),
        (config(cache={"ttl": 1}), {}, "cache.ttl"),
        (config(general_settings={}), {"host": "0.0.0.0", "api_token": "t"}, "general_settings.master_key"),
        (config(), {"proxy_workers": "many"}, "SPANWELL_PROXY_WORKERS"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    document: dict[str, Any],
    settings: dict[str, Any],
    named: str,
) -> None:
    status = check(monkeypatch, environ(tmp_path, document, **settings))

    told = capsys.readouterr().err
    assert status == 2
    assert told.startswith("error: ")
    assert named in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_is_a_clean_end(tmp_path: Path, workers: int) -> None:
    with running(tmp_path, proxy_workers=workers) as (process, url):
        health = until_healthy(url)
        process.send_signal(signal.SIGTERM)
        status = process.wait(20)

    assert (status, health["status"]) == (0, "ok")


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path, proxy_workers=2) as (process, url):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(children[0]), signal.SIGKILL)
        time.sleep(1.5)
        statuses = {httpx.get(url + "/health").status_code for _ in range(4)}
        metrics = httpx.get(url + "/metrics").text

    assert statuses == {200}
    assert metrics.count("\nllm_in_flight ") == 1
    assert metrics.count("\nprocess_cpu_seconds_total ") == 1  # of all: one worker's own would mislead


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_reads_the_configuration_again_in_every_worker(tmp_path: Path, workers: int) -> None:
    with running(tmp_path, proxy_workers=workers) as (process, url):
        time.sleep(0.5 * workers)
        file = tmp_path / "spanwell.yaml"
        known = file.stat()
        file.write_text(yaml.safe_dump(config(deployment("http://127.0.0.1:1/v1", "owl"))), encoding="utf-8")
        os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
        process.send_signal(signal.SIGHUP)
        time.sleep(1.5)
        models = {tuple(httpx.get(url + "/health").json()["models"]) for _ in range(8)}
        ended = process.poll()

    assert models == {("owl",)}
    assert ended is None


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as (_, url):
        second = environ(tmp_path, config(), proxy_port=url.rpartition(":")[2])
        done = subprocess.run(COMMAND, env=second, capture_output=True, text=True, timeout=30)

    assert done.returncode == 2
    assert "SPANWELL_PROXY_PORT" in done.stderr


def test_keys_without_meaning_are_logged_and_no_secret_is(tmp_path: Path) -> None:
    port = free_port()
    document = config(deployment("http://127.0.0.1:1/v1", tag_regex=["a"]))
    with subprocess.Popen(
        COMMAND, env=environ(tmp_path, document, proxy_port=port), stderr=subprocess.PIPE, text=True
    ) as process:
        until_healthy(f"http://127.0.0.1:{port}")
        httpx.get(f"http://127.0.0.1:{port}/admin/keys", headers={"authorization": f"Bearer {MASTER_KEY}"})
        process.terminate()
        _, log = process.communicate(timeout=20)

    assert "model_list[0].litellm_params.tag_regex has no meaning here: write the section `routing`" in log
    assert MASTER_KEY not in log
