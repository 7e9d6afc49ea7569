"""Makes a data directory of a backup: checks every file first, and counts every row afterwards."""

import shutil
from pathlib import Path
from typing import Final

from spanwell.errors import ConfigError, StoreError
from spanwell_collector.lifecycle.backup import ENGINE_PART, STATES, Report
from spanwell_collector.lifecycle.manifest import Manifest, check_files, read_manifest
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations
from spanwell_collector.store.statements import quote_text

UNFINISHED: Final = "restoring"  # a collector must not take for its store what was cut short
COUNT: Final = "SELECT count() AS rows FROM spanwell.{table}"


def restore(source: Path, data: Path, *, report: Report) -> Manifest:
    """Fill the empty directory `data` from `source`. Raises StoreError or ConfigError, and leaves `data` empty then."""
    if _list_data(data):
        raise ConfigError(f"{data} is not empty: a backup is restored into a new data directory")
    source = source.resolve()
    manifest = read_manifest(source)
    _check_version(manifest)
    report(f"checking {len(manifest.files):,} files")
    check_files(source, manifest)
    try:
        _fill(source, data, manifest, report)
    except BaseException:
        for path in _list_data(data):
            shutil.rmtree(path, ignore_errors=True)
        raise
    return manifest


def _list_data(data: Path) -> list[Path]:
    """What stands in `data` but the collector's own directory, which holds the lock."""
    return [path for path in data.glob("*") if path.name != "collector"]


def _fill(source: Path, data: Path, manifest: Manifest, report: Report) -> None:
    path = data / UNFINISHED
    path.mkdir(parents=True)
    store = Store(path=path, backups=source)
    copy = f"RESTORE DATABASE spanwell FROM File({quote_text(str(_find_copy(source)))})"
    try:
        # A merge would drop rows whose time is over before they are counted. Only tables that exist can be told so.
        store.operate(f"{copy} SETTINGS structure_only = 1")
        store.operate("SYSTEM STOP MERGES")
        report("reading the engine's copy")
        store.operate(copy)
        report("counting rows")
        _check_rows(store, manifest)
    finally:
        store.close()
    if (source / STATES).is_dir():
        shutil.copytree(source / STATES, data, dirs_exist_ok=True)
    path.rename(data / "store")


def _find_copy(source: Path) -> Path:
    packed = source / f"{ENGINE_PART}.tar.zst"
    return packed if packed.is_file() else source / ENGINE_PART


def _check_version(manifest: Manifest) -> None:
    unknown = manifest.migrations.keys() - {migration.name for migration in load_migrations()}
    if unknown:
        raise StoreError(f"the backup is of a newer Spanwell ({manifest.spanwell}): it holds {min(unknown)}")


def _check_rows(store: Store, manifest: Manifest) -> None:
    for table, expected in manifest.tables.items():
        rows = int(store.query(COUNT.format(table=table)).column("rows").to_pylist()[0])
        if rows != expected:
            raise StoreError(f"{table} has {rows} rows; the backup was made of {expected}")
