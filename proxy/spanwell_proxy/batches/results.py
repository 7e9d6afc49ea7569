"""A batch's files of results: written line by line, resumed after a crash, and shown to their owner at the end."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Literal

from spanwell_proxy.batches.lines import read_custom_ids
from spanwell_proxy.batches.store import BatchStore, Row

End = Literal["completed", "expired", "cancelled", "failed"]


@dataclass
class Progress:
    """One batch under way: its result files and what was counted."""

    row: Row
    output: BinaryIO
    errors: BinaryIO
    completed: int
    failed: int
    is_expired: bool = False  # some lines were left out
    noted: float = 0.0

    def add(self, result: bytes, *, is_good: bool) -> None:
        file = self.output if is_good else self.errors
        file.write(result)
        file.flush()
        self.completed += is_good
        self.failed += not is_good

    def sync(self) -> None:
        os.fsync(self.output.fileno())
        os.fsync(self.errors.fileno())


def open_results(store: BatchStore, row: Row) -> tuple[Progress, set[str]]:
    """The result files, cut where a crash left half a line, and whom they already tell of."""
    with ExitStack() as opened:
        output = opened.enter_context(store.append_to(row["output_file_id"]))
        errors = opened.enter_context(store.append_to(row["error_file_id"]))
        answered, refused = _resume(output), _resume(errors)
        opened.pop_all()
    is_expired = row.get("expired_at") is not None
    return Progress(row, output, errors, len(answered), len(refused), is_expired), answered | refused


def show_results(store: BatchStore, progress: Progress, status: End, keep_s: float) -> None:
    """End the batch: what was written is its owner's from now on, for `keep_s` seconds."""
    row, now = progress.row, int(time.time())
    changes: Row = {"status": status, f"{status}_at": now, "finalizing_at": now}
    for name, kind in (("output_file_id", "output"), ("error_file_id", "errors")):
        if store.path_of(row[name]).stat().st_size:
            facts = {"owner": row["owner"], "filename": f"{row['id']}_{kind}.jsonl", "purpose": "batch_output"}
            times = {"created_at": now, "expires_at": now + int(keep_s)}
            if store.find_file(row[name], None) is None:
                store.add_file(row[name], facts | times)
        else:
            store.delete_file(row[name])
            changes[name] = None
    store.change_batch(row["id"], **changes, completed=progress.completed, failed=progress.failed)


def _resume(file: BinaryIO) -> set[str]:
    found, size = read_custom_ids(file)
    file.truncate(size)
    file.seek(size)
    return found
