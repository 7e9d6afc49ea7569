"""The process: how it starts, which headers it sends, and how it stops."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from spanwell.health import free_port
from spanwell.settings import Settings
from spanwell_dashboard.server import options


@contextmanager
def running(**variables: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "spanwell_dashboard"], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def wait_for(url: str) -> httpx.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(url, trust_env=False)
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_with_secure_headers_and_stops_cleanly(number: signal.Signals) -> None:
    port = str(free_port())
    with running(SPANWELL_DASHBOARD_PORT=port) as process:
        health = wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        page = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        process.send_signal(number)

        assert process.wait(timeout=15) == 0

    assert health.status_code == 200
    for answer in (health, page):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_wrong_setting_ends_it_with_one_line() -> None:
    with running(SPANWELL_DASHBOARD_PORT="eighty") as process:
        code, errors = process.wait(timeout=15), process.communicate(timeout=15)[1]

    assert code == 2
    assert errors == b"error: SPANWELL_DASHBOARD_PORT='eighty': write a whole number\n"


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running(SPANWELL_DASHBOARD_PORT=port) as process:
            code = process.wait(timeout=15)

    assert code == 1


def test_nothing_is_reported_and_no_traceback_shown() -> None:
    told = options(Settings(host="127.0.0.1", dashboard_port=8501))

    assert told["browser.gatherUsageStats"] is False
    assert told["client.showErrorDetails"] == "none"
    assert told["server.address"] == "127.0.0.1"
