"""Works at batches, oldest first, line by line, whenever the calls that somebody waits for leave room.

Each answer is written as it comes, so a restart goes on where the last process stopped: only the lines that were under
way then are asked again.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Final

import orjson

from spanwell_proxy.batches.lines import (
    Line,
    Mistake,
    check_file,
    read_custom_ids,
    read_requests,
    write_result,
    write_unanswered,
)
from spanwell_proxy.batches.settings import BatchSettings
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.orders import Answered

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
BUSY_PAUSE_S: Final = 0.05
NOTE_EVERY_S: Final = 1.0
TRIES: Final = 5  # of a line that is refused for now
LONGEST_PAUSE_S: Final = 60.0
FOR_NOW: Final = frozenset((429, 503))


Ask = Callable[[str, str, bytes], Awaitable[Answered]]  # owner, endpoint, body
Load = Callable[[], int]  # calls under way that are not a batch's


@dataclass
class Progress:
    """One batch under way: its result files and what was counted."""

    row: Row
    output: BinaryIO
    errors: BinaryIO
    completed: int
    failed: int
    noted: float = 0.0

    def add(self, result: bytes, *, is_good: bool) -> None:
        file = self.output if is_good else self.errors
        file.write(result)
        file.flush()
        self.completed += is_good
        self.failed += not is_good


class Runner:
    """`ask` makes one call in the name of a batch's owner; `load` tells how busy the proxy is with others."""

    def __init__(self, store: BatchStore, settings: BatchSettings, ask: Ask, load: Load) -> None:
        self._store = store
        self._settings = settings
        self._ask = ask
        self._load = load

    async def run(self) -> None:
        """Runs until it is cancelled. A second proxy on the same files waits for the first to end."""
        with (self._store.path_of("runner").with_suffix(".lock")).open("w") as lock:
            is_ours = False
            while True:
                is_ours = is_ours or _try_lock(lock.fileno())
                if is_ours:
                    await self.run_pass()
                await asyncio.sleep(LOOK_EVERY_S)

    async def run_pass(self) -> None:
        """Take every open batch as far as it goes now."""
        for file_id in self._store.list_expired_files(time.time()):
            self._store.delete_file(file_id)
        for row in self._store.list_open():
            if row["status"] == "validating":
                row = await self._validate(row)
            if row["status"] in ("in_progress", "finalizing", "cancelling"):
                await self._answer(row)

    async def _validate(self, row: Row) -> Row:
        total, mistakes = await asyncio.to_thread(self._check, row)
        now = int(time.time())
        changes: Row = {"status": "in_progress", "in_progress_at": now, "total": total}
        if mistakes:
            told = [
                {"code": one.code, "message": one.message, "line": one.line, "param": one.param} for one in mistakes
            ]
            changes = {"status": "failed", "failed_at": now, "errors": told}
        names = {"output_file_id": f"{row['id']}-output", "error_file_id": f"{row['id']}-errors"}
        self._store.change_batch(row["id"], among=("validating",), **changes, **names)
        return self._store.find_batch(row["id"], None) or row

    def _check(self, row: Row) -> tuple[int, list[Mistake]]:
        try:
            with self._store.read_file(row["input_file_id"]) as file:
                return check_file(file, row["endpoint"])
        except FileNotFoundError:
            return 0, [Mistake("file_not_found", "the input file was deleted")]

    async def _answer(self, row: Row) -> None:
        with self._open(row) as (progress, done):
            waiting = asyncio.Semaphore(self._settings.concurrency)
            try:
                async with asyncio.TaskGroup() as tasks:
                    with self._store.read_file(row["input_file_id"]) as file:
                        for line in read_requests(file, row["endpoint"]):
                            if line.custom_id in done:
                                continue
                            await waiting.acquire()
                            if await self._wait_for_turn(row):
                                tasks.create_task(self._answer_line(progress, line, waiting))
                            else:
                                waiting.release()
                                self._leave_out(progress, line)
            except FileNotFoundError:
                logger.warning("the input file of %s was deleted", row["id"])
            await asyncio.to_thread(os.fsync, progress.output.fileno())
            await asyncio.to_thread(os.fsync, progress.errors.fileno())
        self._finish(progress)

    async def _wait_for_turn(self, row: Row) -> bool:
        """Until a line may start; false where the batch was cancelled or its time is over."""
        created, expires = (datetime.fromtimestamp(row[name], UTC) for name in ("created_at", "expires_at"))
        while True:
            now = datetime.now(UTC)
            if now >= expires or self._is_cancelled(row):
                return False
            if self._settings.may_run(now, created, expires) and self._load() < self._settings.yield_above:
                return True
            await asyncio.sleep(BUSY_PAUSE_S if self._settings.may_run(now, created, expires) else LOOK_EVERY_S)

    async def _answer_line(self, progress: Progress, line: Line, waiting: asyncio.Semaphore) -> None:
        row = progress.row
        try:
            answered = await self._ask_again(row, orjson.dumps(line.body))
        finally:
            waiting.release()
        result = write_result(row["id"], line, answered.status, answered.request_id, answered.body)
        progress.add(result, is_good=answered.status < 400)
        self._note(progress)

    async def _ask_again(self, row: Row, body: bytes) -> Answered:
        """The answer, tried again as long as it is only refused for now."""
        for tried in range(TRIES - 1):
            answered = await self._ask(row["owner"], row["endpoint"], body)
            pause_s = answered.retry_after_s or 2.0**tried
            if answered.status not in FOR_NOW or pause_s > LONGEST_PAUSE_S or self._is_cancelled(row):
                return answered
            await asyncio.sleep(pause_s)
        return await self._ask(row["owner"], row["endpoint"], body)

    def _leave_out(self, progress: Progress, line: Line) -> None:
        if not self._is_cancelled(progress.row):  # those of a cancelled batch are in no file, as OpenAI's
            told = "this request could not be executed before the completion window expired"
            progress.add(write_unanswered(progress.row["id"], line, "batch_expired", told), is_good=False)

    def _is_cancelled(self, row: Row) -> bool:
        found = self._store.find_batch(row["id"], None)
        return found is None or found["status"] == "cancelling"

    def _note(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - progress.noted >= NOTE_EVERY_S:
            progress.noted = now
            self._store.change_batch(progress.row["id"], completed=progress.completed, failed=progress.failed)

    @contextmanager
    def _open(self, row: Row) -> Iterator[tuple[Progress, set[str]]]:
        """The result files, cut where a crash left half a line, and whom they already tell of."""
        with self._store.append_to(row["output_file_id"]) as output, self._store.append_to(row["error_file_id"]) as bad:
            answered, refused = _resume(output), _resume(bad)
            yield Progress(row, output, bad, len(answered), len(refused)), answered | refused

    def _finish(self, progress: Progress) -> None:
        row, now = progress.row, int(time.time())
        is_late = now >= row["expires_at"] and progress.completed + progress.failed >= row["total"] > 0
        is_expired = is_late and progress.failed > 0
        status = "cancelled" if self._is_cancelled(row) else "expired" if is_expired else "completed"
        changes: Row = {"status": status, f"{status}_at": now, "finalizing_at": now}
        for name, kind in (("output_file_id", "output"), ("error_file_id", "errors")):
            if self._store.path_of(row[name]).stat().st_size:
                facts = {"owner": row["owner"], "filename": f"{row['id']}_{kind}.jsonl", "purpose": "batch_output"}
                times = {"created_at": now, "expires_at": now + int(self._settings.keep_s)}
                if self._store.find_file(row[name], None) is None:
                    self._store.add_file(row[name], facts | times)
            else:
                self._store.delete_file(row[name])
                changes[name] = None
        self._store.change_batch(row["id"], **changes, completed=progress.completed, failed=progress.failed)


def _resume(file: BinaryIO) -> set[str]:
    found, size = read_custom_ids(file)
    file.truncate(size)
    file.seek(size)
    return found


def _try_lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
