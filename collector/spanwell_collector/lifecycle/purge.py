"""Has the engine give up the bytes of rows that were deleted or corrected: it marks first, and rewrites some time."""

import time
from collections.abc import Sequence
from typing import Final

from spanwell.errors import QueryError
from spanwell_collector.store.client import Store

ROUNDS: Final = 5
WAIT_SECONDS: Final = 60.0
PARTS: Final = """
SELECT table, name, active, startsWith(name, 'patch-') AS is_patch, has_lightweight_delete AS is_masked
FROM {parts}
WHERE database = 'spanwell' AND (rows > 0 OR NOT active) AND table IN {{tables:Array(String)}}
"""


def settle_patches(store: Store, table: str) -> None:
    """Write corrections into the rows they correct, and drop them."""
    for _ in range(ROUNDS):
        patches = [part["name"] for part in _list_parts(store, [table]) if part["active"] and part["is_patch"]]
        if not patches:
            return
        store.alter(table, "APPLY PATCHES", wait=True)
        for name in patches:
            _drop_part(store, table, name)


def purge(store: Store, tables: Sequence[str]) -> list[str]:
    """Rewrite what is only marked as gone, and wait until the old files are; the parts that are still there then."""
    for table in tables:
        settle_patches(store, table)
        if any(part["is_masked"] and part["active"] for part in _list_parts(store, [table])):
            store.alter(table, "APPLY DELETED MASK", wait=True)
    return _await_removal(store, tables)


def _await_removal(store: Store, tables: Sequence[str]) -> list[str]:
    old = _list_replaced(store, tables)
    deadline = time.monotonic() + WAIT_SECONDS
    while old and time.monotonic() < deadline:
        for table in {table for table, _ in old}:
            # The engine looks for old parts less and less often when idle; this makes it look now.
            store.operate(f"SYSTEM STOP CLEANUP spanwell.{table}")
            store.operate(f"SYSTEM START CLEANUP spanwell.{table}")
        time.sleep(0.5)
        old &= _list_replaced(store, tables)
    return sorted(f"{table}/{name}" for table, name in old)


def _list_replaced(store: Store, tables: Sequence[str]) -> set[tuple[str, str]]:
    return {(part["table"], part["name"]) for part in _list_parts(store, tables) if not part["active"]}


def _list_parts(store: Store, tables: Sequence[str]) -> list[dict[str, str]]:
    names = {store.place(table): table for table in tables}
    rows = store.query(PARTS.format(parts=store.everywhere("parts")), {"tables": list(names)}).to_pylist()
    return [{**row, "table": names[row["table"]]} for row in rows]


def _drop_part(store: Store, table: str, name: str) -> None:
    try:
        store.alter(table, f"DROP PART '{name}'", wait=True)
    except QueryError:
        return  # merged into another meanwhile, which the next round finds
