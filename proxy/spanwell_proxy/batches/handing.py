"""Hands a batch over to a provider's own batch API, and sees it through: begun once, booked once, cleared away after.

How far it has come stands in the batch's row before each step that must not be taken twice. What no provider takes, or
has left without an answer, is the runner's to ask line by line.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from spanwell_proxy.batches.booking import Deposit, find_caller, find_handed_api, set_aside
from spanwell_proxy.batches.handed import Handed, RefusedError, read_handed, read_mistakes, to_mistake
from spanwell_proxy.batches.intake import Intake
from spanwell_proxy.batches.lines import Mistake
from spanwell_proxy.batches.provider import Document, Form, is_open, is_temporary
from spanwell_proxy.batches.results import open_results, show_results
from spanwell_proxy.batches.settings import BatchSettings
from spanwell_proxy.batches.sheets import Job, read_sheet, write_sheet
from spanwell_proxy.batches.standing import FIRST_PAUSE_S, LONGEST_PAUSE_S, Standing
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.caller import Caller
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway

logger = logging.getLogger(__name__)

TRIES: Final = 5  # to begin, at a provider that does not answer
ENDS: Final = ("completed", "failed", "expired", "cancelled")
REFUSALS: Final = (400, 422)  # by these a provider says that it is the batch that is wrong


class HandOver:
    """`may_leave` is false where no text may lie in a provider's files."""

    def __init__(
        self, store: BatchStore, settings: BatchSettings, find_gateway: Callable[[], Gateway], *, may_leave: bool
    ) -> None:
        self._store = store
        self._settings = settings
        self._find_gateway = find_gateway
        self._may_leave = may_leave
        self._standing = Standing(store, find_gateway)
        self._reading = asyncio.Lock()  # one batch's results at a time

    async def __call__(self, row: Row) -> None:
        """Once this has returned, the batch is over, or to be asked line by line."""
        handed = read_handed(row)
        if handed.state in ("new", "begun"):
            handed = await self._go_through(row, handed)
        await self._clear_away(handed)
        if handed.mistakes:
            await asyncio.to_thread(self._fail, row, handed)
        else:
            self._standing.note(row, handed, state="over")

    async def _go_through(self, row: Row, handed: Handed) -> Handed:
        """Its state is `read` then; `leftovers` and `mistakes` say what came of it."""
        mistakes: tuple[Mistake, ...] = ()
        try:
            if handed.is_creating:
                handed = await self._standing.insist(row, lambda: self._look_for(row, handed))
            if (job := self._find_job(row, handed)) is None:
                return self._standing.note(row, handed, state="read", leftovers=_list_ids(handed.file_id))
            return await self._work(job, handed)
        except RefusedError as refused:
            mistakes = (to_mistake(refused.failure),)
        except ApiError as failure:
            mistakes = (to_mistake(failure),)
        except FileNotFoundError:  # the input has gone: the runner says so
            logger.warning("the input of batch %s is gone", row["id"])
        handed = self._standing.reread(row)
        told = tuple(asdict(one) for one in mistakes)
        return self._standing.note(row, handed, state="read", leftovers=_list_ids(handed.file_id), mistakes=told)

    def _find_job(self, row: Row, handed: Handed) -> Job | None:
        """None where it is not to be handed over."""
        gateway, api = self._find_gateway(), find_handed_api(row["endpoint"])
        caller = find_caller(gateway, row["owner"])
        if handed.state == "begun":  # it is paid for, whatever became of the key
            caller = caller or Caller(key_id=row["owner"])
        elif self._standing.is_over(row) or not self._may_leave:
            return None
        return Job(row, self._store, caller, api, self._find_gateway) if caller and api else None

    async def _work(self, job: Job, handed: Handed) -> Handed:
        deposit: Deposit | None = None
        try:
            if handed.state == "new":
                handed, deposit = await self._begin(job, handed)
            if handed.state != "begun":
                return self._standing.note(job.row, handed, state="read", leftovers=_list_ids(handed.file_id))
            deposit = deposit or await self._set_aside_again(job, handed)
            return await self._see_through(job, handed, deposit)
        finally:
            if deposit:
                deposit.give_back()

    # --- begin

    async def _begin(self, job: Job, handed: Handed) -> tuple[Handed, Deposit | None]:
        """Write the form, set the money aside, and have a provider begin; its state is `new` still where none does."""
        path, form = self._store.path_of(f"{job.row['id']}-upload"), Form(_name_file(job.row))
        deposit: Deposit | None = None
        try:
            sheet, taker = await write_sheet(job, path, form)
            if taker is None or not job.caller.may_use(sheet.model):
                return handed, None
            deposit = await set_aside(self._find_gateway(), sheet.needs)
            if deposit is None:
                logger.info("batch %s stays here: its budgets have no room for all of it at once", job.row["id"])
                return handed, None
            wanted = replace(handed, model=sheet.model, deployment=taker.id)
            return await self._start(job.row, wanted, path, form), deposit
        except BaseException:
            if deposit:
                deposit.give_back()
            raise
        finally:
            path.unlink(missing_ok=True)

    async def _start(self, row: Row, wanted: Handed, path: Path, form: Form) -> Handed:
        """Ask until it is known whether the provider takes it."""
        pause_s, tried = FIRST_PAUSE_S, 0
        while True:
            handed, tried = self._standing.reread(row), tried + 1
            try:
                if handed.is_creating:
                    handed = await self._look_for(row, handed)
                if handed.state == "begun" or self._standing.is_over(row):
                    return handed
                return await self._try_to_start(row, handed, wanted, path, form)
            except ApiError as failure:
                logger.warning("batch %s is not handed over yet: %s", row["id"], failure.message)
                handed = self._standing.reread(row)
                if not handed.is_creating and (not is_temporary(failure) or tried >= TRIES):
                    return handed
                if self._standing.is_lost(row):
                    raise
            await self._standing.pause(row, pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _try_to_start(self, row: Row, handed: Handed, wanted: Handed, path: Path, form: Form) -> Handed:
        """Raises RefusedError, and ApiError where it is not known, or the provider takes no batches."""
        provider, was_tried = self._standing.find_provider(wanted), bool(handed.deployment)
        handed = self._standing.note(row, handed, model=wanted.model, deployment=wanted.deployment)
        if not handed.file_id:
            file_id = await provider.find_file(_name_file(row)) if was_tried else ""
            handed = self._standing.note(row, handed, file_id=file_id or await provider.upload(path, form.boundary))
        handed = self._standing.note(row, handed, is_creating=True)
        try:
            batch_id = await provider.create(handed.file_id, row["endpoint"], row["id"])
        except ApiError as failure:
            if not is_open(failure):
                self._standing.note(row, handed, is_creating=False)
            if failure.status in REFUSALS:
                raise RefusedError(failure) from failure
            raise
        return self._standing.note(row, handed, state="begun", batch_id=batch_id, is_creating=False)

    async def _look_for(self, row: Row, handed: Handed) -> Handed:
        """Whether the provider has begun, which nobody has heard: it knows."""
        batch_id = await self._standing.find_provider(handed).find_batch(row["id"])
        return self._standing.note(
            row, handed, state="begun" if batch_id else "new", batch_id=batch_id, is_creating=False
        )

    async def _set_aside_again(self, job: Job, handed: Handed) -> Deposit:
        """After a restart nothing is set aside any more; what there is no room for now is booked at any rate."""
        gateway, sheet = self._find_gateway(), await read_sheet(job, handed.model)
        return await set_aside(gateway, sheet.needs) or Deposit(gateway.limits.engine, {})

    # --- see through

    async def _see_through(self, job: Job, handed: Handed, deposit: Deposit) -> Handed:
        ended = await self._follow(job.row, handed)
        files = _list_ids(ended.get("output_file_id"), ended.get("error_file_id"))
        async with self._reading:
            mistakes = await self._take_in(job, handed, deposit, ended, files)
        told = tuple(asdict(one) for one in mistakes)
        return self._standing.note(job.row, handed, state="read", leftovers=(handed.file_id, *files), mistakes=told)

    async def _follow(self, row: Row, handed: Handed) -> Document:
        """Until the provider has ended it; it is told to, where its owner or its time wants so."""
        pause_s, is_told = FIRST_PAUSE_S, False
        while True:
            standing = await self._standing.insist(
                row, lambda: self._standing.find_provider(handed).look(handed.batch_id)
            )
            if standing.get("status") in ENDS:
                return standing
            self._standing.note_counts(row, standing)
            if self._standing.is_lost(row):
                raise ApiError(504, "upstream_timeout", "the provider did not end the batch in its time")
            if self._standing.is_over(row) and not is_told:
                is_told, pause_s = await self._cancel(handed), FIRST_PAUSE_S
            await self._standing.pause(row, pause_s, is_told=is_told)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

    async def _cancel(self, handed: Handed) -> bool:
        """Whether it has heard; it may have ended by itself."""
        try:
            await self._standing.find_provider(handed).cancel(handed.batch_id)
        except ApiError as failure:
            return not is_temporary(failure)
        return True

    async def _take_in(
        self, job: Job, handed: Handed, deposit: Deposit, ended: Document, files: tuple[str, ...]
    ) -> list[Mistake]:
        """Write and book what was answered; what went wrong with the batch as a whole."""
        row, sheet = job.row, await read_sheet(job, handed.model)
        progress, done = await asyncio.to_thread(open_results, self._store, row)
        with progress.output, progress.errors, self._store.read_file(row["input_file_id"]) as asked:
            intake = Intake(job, sheet, deposit, progress, done, asked, drops_unanswered=self._standing.is_over(row))
            for file_id in files:
                await self._standing.insist(row, partial(self._read_file, intake, handed, file_id))
            await asyncio.to_thread(progress.sync)
        if ended["status"] == "failed":
            numbers = [number for number, _ in sheet.places.values()]
            return read_mistakes(ended, self._standing.find_provider(handed).deployment, numbers)
        if ended["status"] == "expired":  # what it has left out is not asked here either
            now = int(time.time())
            self._store.change_batch(row["id"], expired_at=now, expires_at=min(now, row["expires_at"]))
        if ended["status"] == "cancelled" and not self._standing.is_over(row):
            return [Mistake("upstream_cancelled", "the provider's batch was cancelled, and not from here")]
        return []

    async def _read_file(self, intake: Intake, handed: Handed, file_id: str) -> None:
        await intake.read(self._standing.find_provider(handed), file_id)

    def _fail(self, row: Row, handed: Handed) -> None:
        """What was answered before is its owner's at any rate."""
        progress, _ = open_results(self._store, row)
        with progress.output, progress.errors:
            self._store.change_batch(row["id"], errors=list(handed.mistakes))
            show_results(self._store, progress, "failed", self._settings.keep_s)

    async def _clear_away(self, handed: Handed) -> None:
        for file_id in handed.leftovers:
            try:
                await self._standing.find_provider(handed).delete_file(file_id)
            except ApiError as failure:
                logger.warning("a batch's file stays with its provider: %s", failure.message)


def _name_file(row: Row) -> str:
    return f"{row['id']}.jsonl"


def _list_ids(*given: Any) -> tuple[str, ...]:
    return tuple(one for one in given if isinstance(one, str) and one)
