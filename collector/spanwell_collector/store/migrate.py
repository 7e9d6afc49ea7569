"""Brings the schema up to date: numbered .sql files, each applied once and recorded in spanwell.migrations."""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from spanwell.errors import StoreError
from spanwell_collector.store.client import Store
from spanwell_collector.store.statements import split_statements

DIRECTORY: Final = Path(str(resources.files("spanwell_collector.store"))) / "migrations"
CREATE_DATABASE: Final = "CREATE DATABASE IF NOT EXISTS spanwell ENGINE = Atomic"
CREATE_MIGRATIONS: Final = """
CREATE TABLE IF NOT EXISTS spanwell.migrations
(
    number UInt32,
    name   String,
    digest String,
    state  LowCardinality(String),
    ts     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (number, ts)
"""
KNOWN: Final = "SELECT 1 AS known FROM system.tables WHERE database = 'spanwell' AND name = 'migrations'"
HALF_DONE: Final = (
    "stopped half-way: restore the data directory from a backup (spanwell restore), and update from there;"
    " without one, set it aside and begin with an empty one"
)
APPLIED: Final = """
SELECT number, argMax(name, ts) AS name, argMax(digest, ts) AS digest, max(state = 'done') AS done
FROM spanwell.migrations
GROUP BY number
ORDER BY number
"""


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The file's statements, without its comment lines."""
        return split_statements(self.sql)


def load_migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """The files of `directory` in order of their numbers."""
    return [
        Migration(int(path.name.split("_")[0]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("[0-9]*.sql"))
    ]


def migrate(store: Store, migrations: list[Migration]) -> list[str]:
    """Apply what is missing and return its names. Raises StoreError when the store is not one this version knows."""
    store.command(CREATE_DATABASE)
    store.command(CREATE_MIGRATIONS)
    missing = find_missing(store, migrations)
    for migration in missing:
        _apply(store, migration)
    return [migration.name for migration in missing]


def find_missing(store: Store, migrations: list[Migration]) -> list[Migration]:
    """What `migrate` would apply; nothing is changed. Raises StoreError as it does."""
    applied = {row["number"]: row for row in store.query(APPLIED).to_pylist()} if _is_known(store) else {}
    known = {migration.number: migration for migration in migrations}
    for number, row in applied.items():
        if number not in known:
            raise StoreError(f"the store was written by a newer Spanwell: it holds migration {row['name']}")
        if not row["done"]:
            raise StoreError(f"migration {row['name']} {HALF_DONE}")
        if row["digest"] != known[number].digest:
            raise StoreError(f"migration {row['name']} was applied with another text: this is not the store it made")
    return [migration for migration in migrations if migration.number not in applied]


def _is_known(store: Store) -> bool:
    return bool(store.query(KNOWN).num_rows)


def _apply(store: Store, migration: Migration) -> None:
    columns = ("number", "name", "digest", "state")
    store.insert("migrations", [(migration.number, migration.name, migration.digest, "begun")], columns)
    for statement in migration.statements():
        store.command(statement)
    store.insert("migrations", [(migration.number, migration.name, migration.digest, "done")], columns)
