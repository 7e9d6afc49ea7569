"""Copies an embedded store to another one, part by part.

A part never changes, so a block of it is the same block in every attempt: it goes under a token of its own, and a copy
that was stopped goes on where it was. Which parts are done, the target keeps.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from spanwell.errors import StoreError
from spanwell_collector.lifecycle.purge import settle_patches
from spanwell_collector.store.client import Store

BLOCK_BYTES: Final = 64 << 20  # of rows as they are in memory
MAX_BLOCK_ROWS: Final = 200_000
# These tell of the store they stand in.
OWN: Final = ("copied", "forgetting", "migrations", "pipelines", "retention")
CREATE_COPIED: Final = """
CREATE TABLE IF NOT EXISTS spanwell.copied
(
    table_name String,
    part       String,
    rows       UInt64
)
ENGINE = MergeTree
ORDER BY (table_name, part)
"""
TABLES: Final = """
SELECT name, match(engine, 'Replacing|Aggregating') AS is_merging
FROM system.tables
WHERE database = 'spanwell' AND endsWith(engine, 'MergeTree') AND name NOT IN {own:Array(String)}
ORDER BY name
"""
PARTS: Final = """
SELECT name, rows, data_uncompressed_bytes AS bytes
FROM system.parts
WHERE database = 'spanwell' AND table = {table:String} AND active
ORDER BY name
"""
COLUMNS: Final = """
SELECT name
FROM system.columns
WHERE database = 'spanwell' AND table = {table:String} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')
ORDER BY position
"""
DONE: Final = "SELECT part FROM spanwell.copied WHERE table_name = {table:String}"
CHANGED: Final = (
    "the target has {part} of {table}, which is here no more: this store was written to since the copy began;"
    " drop the target's database spanwell and copy again"
)

Report = Callable[[str], None]


class _Table(NamedTuple):
    name: str
    is_merging: bool
    columns: list[str]


class _Part(NamedTuple):
    name: str
    rows: int
    bytes: int


def copy_store(source: Store, target: Store, *, report: Report) -> dict[str, int]:
    """Copy every row to `target`, which has the same tables, and count them there; the rows of each table.

    Nobody else writes to either. Raises StoreError when the target holds what is not from here, or counts differ.
    """
    tables = _list_tables(source)
    target.command(CREATE_COPIED)
    _refuse_strangers(target, tables)
    source.operate("SYSTEM STOP MERGES")
    # Else rows whose time is over go before they are counted.
    target.operate("SYSTEM STOP TTL MERGES")
    try:
        rows = {table.name: _copy_table(source, target, table, report) for table in tables}
    finally:
        target.operate("SYSTEM START TTL MERGES")
        source.operate("SYSTEM START MERGES")
    target.command("DROP TABLE spanwell.copied")
    return rows


def _list_tables(source: Store) -> list[_Table]:
    rows = source.query(TABLES, {"own": list(OWN)}).to_pylist()
    for row in rows:
        settle_patches(source, row["name"])  # a part is copied without what corrects it
    return [
        _Table(row["name"], bool(row["is_merging"]), source.query(COLUMNS, {"table": row["name"]})["name"].to_pylist())
        for row in rows
    ]


def _refuse_strangers(target: Store, tables: list[_Table]) -> None:
    if target.query("SELECT 1 AS begun FROM spanwell.copied LIMIT 1").num_rows:
        return
    for table in tables:
        if _count(target, table):
            raise StoreError(f"the target's {table.name} has rows already: copy to a server without a Spanwell store")


def _copy_table(source: Store, target: Store, table: _Table, report: Report) -> int:
    parts = [_Part(**row) for row in source.query(PARTS, {"table": table.name}).to_pylist()]
    done = set(target.query(DONE, {"table": table.name}).column("part").to_pylist())
    strangers = sorted(done - {part.name for part in parts})
    if strangers:
        raise StoreError(CHANGED.format(part=strangers[0], table=table.name))
    for number, part in enumerate(parts, 1):
        if part.name not in done:
            for first, body in _read_blocks(source, table, part):
                target.load(table.name, table.columns, body, token=f"copy:{table.name}:{part.name}:{first}")
            target.insert("copied", [(table.name, part.name, part.rows)], ("table_name", "part", "rows"))
        report(f"{table.name}: {number} of {len(parts)} parts")
    return _compare(source, target, table)


def _read_blocks(source: Store, table: _Table, part: _Part) -> Iterator[tuple[int, bytes]]:
    """Blocks of the part's rows, by the number of each block's first row."""
    row_bytes = max(1, part.bytes // max(1, part.rows))
    size = max(1, min(MAX_BLOCK_ROWS, BLOCK_BYTES // row_bytes))
    columns = ", ".join(f"`{name}`" for name in table.columns)
    question = (
        f"SELECT {columns} FROM spanwell.{table.name}"  # noqa: S608 - names of our own
        " WHERE _part = {part:String} AND _part_offset >= {first:UInt64} AND _part_offset < {end:UInt64}"
        " ORDER BY _part_offset"
    )
    for first in range(0, part.rows, size):
        bounds: dict[str, Any] = {"part": part.name, "first": first, "end": first + size}
        yield first, source.dump(question, bounds)


def _compare(source: Store, target: Store, table: _Table) -> int:
    expected, found = _count(source, table), _count(target, table)
    if expected != found:
        raise StoreError(f"{table.name} has {found} rows on the target, and {expected} here")
    return found


def _count(store: Store, table: _Table) -> int:
    # Rows that replace each other are as many as their keys, merged or not.
    final = "FINAL" if table.is_merging else ""
    counted = store.query(f"SELECT count() AS rows FROM spanwell.{table.name} {final}")  # noqa: S608
    return int(counted.column("rows").to_pylist()[0])
