"""Rivals and ourselves as receivers of OTLP: how to start each, and how to count what it has stored."""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from spanwell.health import free_port
from tests.bench.processes import running, wait_for

SERVER_CORE, LOAD_CORE = 1, 0


@dataclass(frozen=True)
class Receiver:
    """A started receiver: where it takes OTLP/HTTP, its process, and how many spans it has stored."""

    name: str
    url: str
    pid: int
    count: Callable[[], int]


@contextmanager
def spanwell(folder: Path, environ: dict[str, str] | None = None) -> Iterator[Receiver]:
    """The collector as it comes: embedded engine, every batch synced to the disk before its answer."""
    http, grpc, sql = free_port(), free_port(), free_port()
    settings = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SPANWELL_")},
        "SPANWELL_DATA": str(folder / "data"),
        "SPANWELL_COLLECTOR_PORT": str(http),
        "SPANWELL_GRPC_PORT": str(grpc),
        "SPANWELL_SQL_PORT": str(sql),
        **(environ or {}),
    }
    command = [sys.executable, "-m", "spanwell_collector"]
    with running(command, SERVER_CORE, folder / "collector.log", settings) as server:
        wait_for(f"http://127.0.0.1:{http}/health", server)
        yield Receiver("Spanwell", f"http://127.0.0.1:{http}/v1/traces", server.pid, lambda: _ask_door(sql))


@contextmanager
def phoenix(folder: Path, python: Path) -> Iterator[Receiver]:
    """Phoenix's server on SQLite, in the environment that `python` belongs to."""
    http, grpc = free_port(), free_port()
    settings = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    command = [str(python), "-m", "phoenix.server.main", "serve"]
    with running(command, SERVER_CORE, folder / "phoenix.log", settings) as server:
        wait_for(f"http://127.0.0.1:{http}/healthz", server)
        yield Receiver(
            "Phoenix", f"http://127.0.0.1:{http}/v1/traces", server.pid, lambda: _count_rows(folder / "phoenix.db")
        )


def _ask_door(port: int) -> int:
    query = urlencode({"query": "SELECT count() FROM spanwell.spans FORMAT TabSeparated"})
    with urlopen(f"http://127.0.0.1:{port}/?{query}", timeout=30) as reply:
        return int(reply.read())


def _count_rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])
