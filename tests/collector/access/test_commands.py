"""`spanwell tokens` against a running collector."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.services import Service, start_collector

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_collector(tmp_path_factory.mktemp("tokens"), {"SPANWELL_API_TOKEN": "token-1"})
    yield service
    assert service.stop() == 0


@pytest.fixture
def tokens(service: Service) -> Command:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")}

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spanwell.cli", "tokens", *arguments]
        known = clean | service.settings.environ() | environ
        return subprocess.run(command, env=known, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_a_token_is_made_listed_blocked_and_deleted(tokens: Command, service: Service) -> None:
    secret = tokens("create", "grafana", "--role", "viewer", "--project", "shop", "--days", "30").stdout.strip()
    token_id = secret.split("-")[1]

    listed = tokens("list").stdout
    assert (token_id in listed, "grafana" in listed, secret in listed) == (True, True, False)
    for action, status in (("block", 401), ("unblock", 200), ("delete", 401)):
        assert tokens(action, token_id).stdout == "ok\n"
        reply = httpx.get(f"{service.settings.collector_url}/api/v1/overview", headers={"x-api-key": secret})
        assert reply.status_code == status


def test_what_the_collector_refuses_is_one_line(tokens: Command) -> None:
    unknown = tokens("rotate", "0123456789ab")
    stranger = tokens("list", SPANWELL_API_TOKEN="token-2")

    assert (unknown.returncode, unknown.stderr) == (1, "error: there is no token 0123456789ab\n")
    assert (stranger.returncode, stranger.stderr.startswith("error: send Authorization: Bearer")) == (1, True)


def test_no_collector_is_one_line(tokens: Command) -> None:
    away = tokens("list", SPANWELL_COLLECTOR_PORT="1")

    assert away.returncode == 1
    assert away.stderr.startswith("error: no collector answers at http://127.0.0.1:1 ")
    assert away.stderr.count("\n") == 1
