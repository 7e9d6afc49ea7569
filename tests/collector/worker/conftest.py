import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanwell_collector.worker.database import open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "worker" / "state.db")
    yield connection
    connection.close()
