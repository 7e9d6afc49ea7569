"""Copies the store while it is written to: one moment of all tables, and the small databases beside it.

The engine's own BACKUP leaves out corrections that are not yet written into their rows, so those are settled first.
Writers wait from then until the engine has noted which parts belong to the copy, a fraction of a second; what is sent
meanwhile waits in the spool.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from spanwell.errors import ConfigError, StoreError
from spanwell.settings import Settings
from spanwell_collector.lifecycle.manifest import FORMAT, Manifest, describe_files, write_manifest
from spanwell_collector.lifecycle.purge import settle_patches
from spanwell_collector.store.client import Store
from spanwell_collector.store.statements import quote_text

ENGINE_PART: Final = "store"
STATES: Final = "state"
POLL_SECONDS: Final = 0.02
# The views, and what they read from, are made anew by the collector that finds no record of having made them.
TABLES: Final = """
SELECT name
FROM system.tables
WHERE database = 'spanwell' AND name NOT IN ('forgetting', 'pipelines') AND endsWith(engine, 'MergeTree')
ORDER BY name
"""
OTHERS: Final = """
SELECT name
FROM system.tables
WHERE database = 'spanwell' AND (name IN ('forgetting', 'pipelines') OR engine IN ('MaterializedView', 'Null'))
ORDER BY name
"""
MIGRATIONS: Final = "SELECT name, argMax(digest, ts) AS digest FROM spanwell.migrations GROUP BY name ORDER BY name"
STATUS: Final = """
SELECT toString(status) AS status, error, num_files AS files, total_size AS bytes
FROM system.backups
WHERE id = {id:String}
"""

Report = Callable[[str], None]


def find_backups(settings: Settings) -> Path:
    """The one directory that backups go to: the engine writes nowhere else, whatever it is told."""
    return (settings.backup_dir or settings.data / "backups").absolute()


def place_backup(directory: Path, name: str) -> Path:
    """Where a backup called `name` goes: within `directory`, and nowhere else. Raises ConfigError."""
    try:
        place = (directory / name).resolve()
        exists = place.exists()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name!r} cannot be the name of a file: {error}") from error
    if place == directory.resolve() or not place.is_relative_to(directory.resolve()):
        raise ConfigError(f"{name} lies outside {directory}: name a place within it, or set SPANWELL_BACKUP_DIR")
    if exists:
        raise ConfigError(f"{place} exists: name a new place")
    return place


def back_up(store: Store, data: Path, place: Path, *, compress: bool, report: Report) -> Manifest:
    """Copy the store, and the SQLite files of `data`, to the new directory `place`. Raises StoreError."""
    place.mkdir(parents=True, mode=0o700)
    target = place / (f"{ENGINE_PART}.tar.zst" if compress else ENGINE_PART)
    tables = store.query(TABLES).column("name").to_pylist()
    others = store.query(OTHERS).column("name").to_pylist()
    report("writing corrections into their rows")
    _settle(store, tables)
    with _standing_still(store, tables):
        rows = _count_rows(store, tables)
        copy = _begin(store, target, others)
    _await_copy(store, copy, report)
    report("copying the small databases")
    _copy_states(data, place / STATES)
    report("taking checksums")
    manifest = _describe(store, place, rows)
    write_manifest(place, manifest)
    return manifest


@contextmanager
def _standing_still(store: Store, tables: list[str]) -> Iterator[None]:
    """Nothing is written, and no part replaced by another, while the block runs."""
    with store.hold_writes():
        _settle(store, tables)
        store.operate("SYSTEM STOP MERGES")
        try:
            yield
        finally:
            store.operate("SYSTEM START MERGES")


def _settle(store: Store, tables: list[str]) -> None:
    for table in tables:
        settle_patches(store, table)


def _count_rows(store: Store, tables: list[str]) -> dict[str, int]:
    counted = {table: store.query(f"SELECT count() AS rows FROM spanwell.{table}") for table in tables}  # noqa: S608
    return {table: int(rows.column("rows").to_pylist()[0]) for table, rows in counted.items()}


def _begin(store: Store, target: Path, without: list[str]) -> str:
    """Start the engine's copy and return its id once the engine has noted what belongs to it."""
    copy = str(uuid.uuid4())
    left_out = f"EXCEPT TABLES {', '.join(f'spanwell.{name}' for name in without)}" if without else ""
    place = quote_text(str(target))
    store.operate(f"BACKUP DATABASE spanwell {left_out} TO File({place}) SETTINGS id = '{copy}' ASYNC")
    while (now := _ask(store, copy))["status"] == "CREATING_BACKUP" and not now["files"]:
        time.sleep(POLL_SECONDS)
    return copy


def _await_copy(store: Store, copy: str, report: Report) -> None:
    while (now := _ask(store, copy))["status"] == "CREATING_BACKUP":
        report(f"copied {now['bytes'] / 1e6:,.0f} MB in {now['files']:,} files")
        time.sleep(0.2)
    if now["status"] != "BACKUP_CREATED":
        raise StoreError(f"the engine could not copy itself: {now['error'].partition(', Stack trace')[0]}")
    report(f"copied {now['bytes'] / 1e6:,.0f} MB in {now['files']:,} files")


def _ask(store: Store, copy: str) -> dict[str, Any]:
    row: dict[str, Any] = store.query(STATUS, {"id": copy}).to_pylist()[0]
    return row


def _describe(store: Store, place: Path, rows: dict[str, int]) -> Manifest:
    return Manifest(
        format=FORMAT,
        spanwell=version("spanwell"),
        engine=store.version,
        created=datetime.now(UTC),
        migrations={row["name"]: row["digest"] for row in store.query(MIGRATIONS).to_pylist()},
        tables=rows,
        files=describe_files(place),
    )


def list_states(data: Path) -> list[Path]:
    """The SQLite files of the other processes: the gateway's keys, budgets and cache, the worker's alerts."""
    return sorted(path for path in data.glob("*/*.db") if _begins(path, b"SQLite format 3"))


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _copy_states(data: Path, place: Path) -> None:
    for path in list_states(data):
        copy = place / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        except sqlite3.Error as error:
            raise StoreError(f"{path} could not be copied: {error}") from error
