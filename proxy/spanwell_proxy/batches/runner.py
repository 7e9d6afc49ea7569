"""Works at batches line by line, whenever the calls that somebody waits for leave room.

What a provider takes whole is handed over to it first; only what is left then is asked here.

Each owner's batches are worked at one after the other, oldest first, those of several owners side by side. Each answer
is written as it comes, so a restart goes on where the last process stopped: only the lines that were under way then are
asked again.
"""

import asyncio
import fcntl
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, Final, NamedTuple

import orjson

from spanwell_proxy.batches.lines import Line, Mistake, check_file, read_requests, write_result, write_unanswered
from spanwell_proxy.batches.results import End, Progress, open_results, show_results
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
MOST_HANDED: Final = 256  # likewise, of those that providers work at
REST_S: Final = 60.0  # after a batch could not be gone on with, such as for want of room on the disk
FOR_NOW: Final = frozenset((429, 503))
FILE_GONE: Final = Mistake("file_not_found", "the input file was deleted")

Ask = Callable[[str, str, bytes], Awaitable[Answered]]  # owner, endpoint, body
Load = Callable[[], int]  # calls under way that are not a batch's
Hand = Callable[[Row], Awaitable[None]]  # once it has returned, the batch is over, or says that no provider has it


class Rest(NamedTuple):
    """Until when a batch is left alone, should it fail now; each time it fails twice as long."""

    until: float = 0.0
    next_s: float = REST_S


class Runner:
    """`ask` makes one call in the name of a batch's owner; `load` tells how busy the proxy is with others.

    `hand` gives a batch to a provider, where one takes it, and sees it through.
    """

    def __init__(
        self, store: BatchStore, settings: BatchSettings, ask: Ask, load: Load, hand: Hand | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._ask = ask
        self._load = load
        self._hand = hand
        self._places = asyncio.Semaphore(settings.concurrency)
        self._running: dict[str, asyncio.Task[None]] = {}  # by owner
        self._handed: dict[str, asyncio.Task[None]] = {}  # by batch
        self._resting: dict[str, Rest] = {}  # batches that failed of late
        self._ended = asyncio.Event()  # something has: there may be something to begin

    async def run(self) -> None:
        """Runs until it is cancelled. A second proxy on the same files waits for the first to end."""
        with (self._store.path_of("runner").with_suffix(".lock")).open("w") as lock:
            is_ours = False
            try:
                while True:
                    is_ours = is_ours or _try_lock(lock.fileno())
                    self._ended.clear()
                    if is_ours:
                        await self._look()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await self._ended.wait()
            finally:
                await stop_tasks(*self._running.values(), *self._handed.values())

    async def _look(self) -> None:
        """Throw away what is old, check what is new, and begin what is next."""
        try:
            await asyncio.to_thread(self._prepare)
            for row in self._store.list_open():  # nothing is awaited from here on: none of them ends meanwhile
                if row["status"] == "validating" or self._is_resting(row):
                    continue
                if self._hand and not _is_left_to_us(row):
                    self._give(row, self._hand)
                elif self._may_begin(row):
                    self._running[row["owner"]] = start_task(self._see_to(row, self._work))
        except (OSError, sqlite3.Error) as error:
            logger.warning("batches cannot be looked at: %s", error)

    def _give(self, row: Row, hand: Hand) -> None:
        """Beside the owner's other batches: it is not this proxy that works at it."""
        _forget_done(self._handed)
        if row["id"] not in self._handed and len(self._handed) < MOST_HANDED:
            self._handed[row["id"]] = start_task(self._see_to(row, hand))

    def _may_begin(self, row: Row) -> bool:
        _forget_done(self._running)
        return len(self._running) < MOST_BATCHES and row["owner"] not in self._running

    def _is_resting(self, row: Row) -> bool:
        rest = self._resting.get(row["id"])
        return rest is not None and rest.until > time.monotonic()

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
        changes |= {"handed": {}} if self._hand else {}
        self._store.change_batch(row["id"], among=("validating",), **(_fail(mistakes) if mistakes else changes))

    async def _see_to(self, row: Row, work: Hand) -> None:
        """One that fails does not hold up the others, and is gone on with later."""
        rest = self._resting.get(row["id"], Rest())
        self._resting[row["id"]] = Rest(time.monotonic() + rest.next_s, rest.next_s * 2)
        await work(row)
        del self._resting[row["id"]]
        self._ended.set()

    async def _work(self, row: Row) -> None:
        """Take a batch to its end."""
        try:
            file = self._store.read_file(row["input_file_id"])
        except FileNotFoundError:
            self._store.change_batch(row["id"], **_fail([FILE_GONE]))
        else:
            with file:
                await self._answer(row, file)

    async def _answer(self, row: Row, file: BinaryIO) -> None:
        progress, done = await asyncio.to_thread(open_results, self._store, row)
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

    def _finish(self, progress: Progress) -> None:
        is_cancelled = self._is_cancelled(progress.row)
        status: End = "cancelled" if is_cancelled else "expired" if progress.is_expired else "completed"
        show_results(self._store, progress, status, self._settings.keep_s)


def _is_left_to_us(row: Row) -> bool:
    """Whether no provider has it, nor is to be asked for it."""
    handed = row.get("handed")
    return handed is None or handed.get("state") == "over"


def _forget_done(tasks: dict[str, asyncio.Task[None]]) -> None:
    for name in [name for name, task in tasks.items() if task.done()]:
        del tasks[name]


def _fail(mistakes: list[Mistake]) -> Row:
    """A batch that cannot be run."""
    nothing: Row = {"output_file_id": None, "error_file_id": None}
    return nothing | {"status": "failed", "failed_at": int(time.time()), "errors": [asdict(one) for one in mistakes]}


def _try_lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
