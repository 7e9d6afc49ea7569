"""Works at batches line by line, whenever the calls that somebody waits for leave room.

Each owner's batches are worked at one after the other, oldest first, those of several owners side by side. Each answer
is written as it comes, so a restart goes on where the last process stopped: only the lines that were under way then are
asked again.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, Final, NamedTuple

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
from spanwell_proxy.tasks import start_task, stop_tasks

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
BUSY_PAUSE_S: Final = 0.05
NOTE_EVERY_S: Final = 1.0
TRIES: Final = 5  # of a line that is refused for now
LONGEST_PAUSE_S: Final = 60.0
MOST_BATCHES: Final = 16  # at a time
REST_S: Final = 60.0  # after a batch could not be gone on with, such as for want of room on the disk
FOR_NOW: Final = frozenset((429, 503))
FILE_GONE: Final = Mistake("file_not_found", "the input file was deleted")

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


class Rest(NamedTuple):
    """Until when a batch is left alone, should it fail now; each time it fails twice as long."""

    until: float = 0.0
    next_s: float = REST_S


class Runner:
    """`ask` makes one call in the name of a batch's owner; `load` tells how busy the proxy is with others."""

    def __init__(self, store: BatchStore, settings: BatchSettings, ask: Ask, load: Load) -> None:
        self._store = store
        self._settings = settings
        self._ask = ask
        self._load = load
        self._places = asyncio.Semaphore(settings.concurrency)
        self._running: dict[str, asyncio.Task[None]] = {}  # by owner
        self._resting: dict[str, Rest] = {}  # batches that failed of late

    async def run(self) -> None:
        """Runs until it is cancelled. A second proxy on the same files waits for the first to end."""
        with (self._store.path_of("runner").with_suffix(".lock")).open("w") as lock:
            is_ours = False
            try:
                while True:
                    is_ours = is_ours or _try_lock(lock.fileno())
                    if is_ours:
                        await self._look()
                    await asyncio.sleep(LOOK_EVERY_S)
            finally:
                await stop_tasks(*self._running.values())

    async def _look(self) -> None:
        """Throw away what is old, check what is new, and begin what is next."""
        try:
            await asyncio.to_thread(self._prepare)
            for row in self._store.list_open():  # nothing is awaited from here on: none of them ends meanwhile
                if row["status"] != "validating" and self._may_begin(row):
                    self._running[row["owner"]] = start_task(self._work(row))
        except (OSError, sqlite3.Error) as error:
            logger.warning("batches cannot be looked at: %s", error)

    def _may_begin(self, row: Row) -> bool:
        for owner in [owner for owner, task in self._running.items() if task.done()]:
            del self._running[owner]
        rest = self._resting.get(row["id"])
        is_resting = rest is not None and rest.until > time.monotonic()
        return not is_resting and len(self._running) < MOST_BATCHES and row["owner"] not in self._running

    def _prepare(self) -> None:
        now = time.time()
        for file_id in self._store.list_expired_files(now):
            self._store.delete_file(file_id)
        self._store.delete_batches(now - self._settings.keep_s)
        for row in self._store.list_open():
            if row["status"] == "validating":
                self._validate(row)

    def _validate(self, row: Row) -> None:
        try:
            with self._store.read_file(row["input_file_id"]) as file:
                total, mistakes = check_file(file, row["endpoint"])
        except FileNotFoundError:
            total, mistakes = 0, [FILE_GONE]
        changes: Row = {"status": "in_progress", "in_progress_at": int(time.time()), "total": total}
        self._store.change_batch(row["id"], among=("validating",), **(_fail(mistakes) if mistakes else changes))

    async def _work(self, row: Row) -> None:
        """Take a batch to its end. One that fails does not hold up the others, and is gone on with later."""
        rest = self._resting.get(row["id"], Rest())
        self._resting[row["id"]] = Rest(time.monotonic() + rest.next_s, rest.next_s * 2)
        try:
            file = self._store.read_file(row["input_file_id"])
        except FileNotFoundError:
            self._store.change_batch(row["id"], **_fail([FILE_GONE]))
        else:
            with file:
                await self._answer(row, file)
        del self._resting[row["id"]]

    async def _answer(self, row: Row, file: BinaryIO) -> None:
        progress, done = await asyncio.to_thread(self._open, row)
        left = (line for line in read_requests(file, row["endpoint"]) if line.custom_id not in done)
        room = asyncio.Semaphore(self._settings.concurrency)
        with progress.output, progress.errors:
            async with asyncio.TaskGroup() as tasks:
                while not self._is_over(row) and (line := await asyncio.to_thread(next, left, None)):
                    await room.acquire()
                    tasks.create_task(self._answer_line(progress, line, room))
            await asyncio.to_thread(self._leave_out, progress, left)
            await asyncio.to_thread(progress.sync)
        await asyncio.to_thread(self._finish, progress)

    async def _answer_line(self, progress: Progress, line: Line, room: asyncio.Semaphore) -> None:
        row = progress.row
        try:
            answered = await self._ask_in_turn(row, orjson.dumps(line.body))
        finally:
            room.release()
        if answered is None:
            self._leave_out(progress, iter((line,)))
            return
        result = write_result(row["id"], line, answered.status, answered.request_id, answered.body)
        progress.add(result, is_good=answered.status < 400)
        await self._note(progress)

    async def _ask_in_turn(self, row: Row, body: bytes) -> Answered | None:
        """The answer, tried again as long as it is only refused for now; None where it was never asked for."""
        answered: Answered | None = None
        for tried in range(TRIES):
            if not await self._take_place(row):
                break
            try:
                answered = await self._ask(row["owner"], row["endpoint"], body)
            finally:
                self._places.release()
            pause_s = answered.retry_after_s or 2.0**tried
            if answered.status not in FOR_NOW or pause_s > LONGEST_PAUSE_S or tried == TRIES - 1:
                break
            await asyncio.sleep(pause_s)
        return answered

    async def _take_place(self, row: Row) -> bool:
        """Wait until a line may be asked; false where the batch was cancelled or its time is over."""
        created, expires = (datetime.fromtimestamp(row[name], UTC) for name in ("created_at", "expires_at"))
        while not self._is_over(row):
            if not self._settings.may_run(datetime.now(UTC), created, expires):
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            await self._places.acquire()
            if self._load() < self._settings.yield_above:
                return True
            self._places.release()
            await asyncio.sleep(BUSY_PAUSE_S)
        return False

    def _leave_out(self, progress: Progress, left: Iterator[Line]) -> None:
        """What was not asked in time; of a cancelled batch such lines are in no file, as with OpenAI."""
        row, told = progress.row, "this request could not be executed before the completion window expired"
        if self._is_cancelled(row):
            return
        for line in left:
            if not progress.is_expired:
                progress.is_expired = True
                self._store.change_batch(row["id"], expired_at=int(time.time()))
            progress.add(write_unanswered(row["id"], line, "batch_expired", told), is_good=False)

    def _is_over(self, row: Row) -> bool:
        return time.time() >= row["expires_at"] or self._is_cancelled(row)

    def _is_cancelled(self, row: Row) -> bool:
        found = self._store.find_batch(row["id"], None)
        return found is None or found["status"] == "cancelling"

    async def _note(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - progress.noted >= NOTE_EVERY_S:
            progress.noted = now
            change = partial(self._store.change_batch, progress.row["id"])
            await asyncio.to_thread(change, completed=progress.completed, failed=progress.failed)

    def _open(self, row: Row) -> tuple[Progress, set[str]]:
        """The result files, cut where a crash left half a line, and whom they already tell of."""
        with ExitStack() as opened:
            output = opened.enter_context(self._store.append_to(row["output_file_id"]))
            errors = opened.enter_context(self._store.append_to(row["error_file_id"]))
            answered, refused = _resume(output), _resume(errors)
            opened.pop_all()
        is_expired = row.get("expired_at") is not None
        return Progress(row, output, errors, len(answered), len(refused), is_expired), answered | refused

    def _finish(self, progress: Progress) -> None:
        row, now = progress.row, int(time.time())
        status = "cancelled" if self._is_cancelled(row) else "expired" if progress.is_expired else "completed"
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


def _fail(mistakes: list[Mistake]) -> Row:
    """A batch that cannot be run."""
    return {"status": "failed", "failed_at": int(time.time()), "errors": [asdict(one) for one in mistakes]}


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
