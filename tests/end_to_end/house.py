"""Starts the whole house as a user does, with `spanwell up`, on free ports and a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx

from spanwell.health import free_port
from spanwell.settings import Settings

START_SECONDS = 90
MASTER_KEY = "sk-master-0123456789abcdef"


@dataclass(frozen=True)
class House:
    """A running `spanwell up`."""

    settings: Settings
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def base_url(self) -> str:
        return f"{self.settings.proxy_url}/v1"

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a question put through the SQL door with the stock client."""
        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.settings.sql_port)
        try:
            return [tuple(row) for row in client.query(sql, parameters=parameters).result_rows]
        finally:
            client.close()

    def api(self, path: str, **parameters: Any) -> Any:
        """Body of one answer of the query API."""
        answer = httpx.get(f"{self.settings.collector_url}/api/v1/{path}", params=parameters, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def pids(self, module: str) -> list[int]:
        """Processes of this house that run `python -m module`."""
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [int(entry.name) for entry in entries if _runs(entry, module, self.settings.data)]


def wait_until(condition: Callable[[], Any], *, seconds: float, every: float = 0.1) -> Any:
    """The first true value of `condition` within `seconds`, else the last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return value


@contextmanager
def running_house(data: Path, *arguments: str) -> Iterator[House]:
    settings = Settings(
        data=data,
        proxy_port=free_port(),
        collector_port=free_port(),
        sql_port=free_port(),
        grpc_port=free_port(),
        dashboard_port=free_port(),
    )
    data.mkdir(parents=True, exist_ok=True)
    log = data / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "spanwell.cli", "up", *arguments],
            env={**os.environ, **settings.environ(), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    house = House(settings, process, log)
    try:
        wait_until(lambda: _is_ready(house) or process.poll() is not None, seconds=START_SECONDS)
        assert _is_ready(house), log.read_text(encoding="utf-8")[-4000:]
        yield house
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _is_ready(house: House) -> bool:
    return "\nready" in house.log.read_text(encoding="utf-8")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _command(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return []


def _runs(entry: Path, module: str, data: Path) -> bool:
    if module not in _command(entry):
        return False
    try:
        return f"SPANWELL_DATA={data}".encode() in (entry / "environ").read_bytes()
    except OSError:
        return False
