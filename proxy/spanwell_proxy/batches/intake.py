"""Takes in what a provider answered: each line once, under its custom_id, booked as a call of its owner's."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO, Final

from spanwell_proxy.batches.booking import Deposit, begin_line, book
from spanwell_proxy.batches.handed import LONGEST_CODE, clean_text
from spanwell_proxy.batches.lines import Line, Result, read_request_at, read_result, write_result, write_unanswered
from spanwell_proxy.batches.provider import BatchApi
from spanwell_proxy.batches.results import Progress
from spanwell_proxy.batches.sheets import Job, Sheet
from spanwell_proxy.config.routes import Deployment

# After so much the spans and bookings of what was read get the time to be written: a crash loses no more of them.
SLICE_LINES: Final = 20
SLICE_BYTES: Final = 1 << 20
SLICE_PAUSE_S: Final = 0.1


@dataclass(frozen=True)
class Intake:
    """`asked` is the batch's input, `done` are the lines that its result files tell of.

    With `drops_unanswered`, the batch is to end: what has no answer is nobody's to tell but ours.
    """

    job: Job
    sheet: Sheet
    deposit: Deposit
    progress: Progress
    done: set[str]
    asked: BinaryIO
    drops_unanswered: bool

    async def read(self, provider: BatchApi, file_id: str) -> None:
        """Read one of its files; may be repeated. Raises ApiError."""
        lines = size = 0
        async with aclosing(provider.read_lines(file_id)) as texts:
            async for text in texts:
                result = await asyncio.to_thread(read_result, text) if len(text) > SLICE_BYTES else read_result(text)
                if result and result.custom_id in self.sheet.places and result.custom_id not in self.done:
                    await self._take(result, provider.deployment)
                lines, size = lines + 1, size + len(text)
                if lines >= SLICE_LINES or size >= SLICE_BYTES:
                    lines = size = 0
                    await asyncio.sleep(SLICE_PAUSE_S)

    async def _take(self, result: Result, deployment: Deployment) -> None:
        row, place = self.job.row, self.sheet.places[result.custom_id]
        line = read_request_at(self.asked, *place, row["endpoint"])
        if result.status:
            await self._book(line, result, deployment)
        elif self.drops_unanswered:
            return
        else:
            if result.code == "batch_expired" and not self.progress.is_expired:
                self.progress.is_expired = True
                self.job.store.change_batch(row["id"], expired_at=int(time.time()))
            code, told = clean_text(result.code, deployment)[:LONGEST_CODE], clean_text(result.message, deployment)
            self.progress.add(write_unanswered(row["id"], line, code, told), is_good=False)
        self.done.add(result.custom_id)

    async def _book(self, line: Line, result: Result, deployment: Deployment) -> None:
        """Nothing is waited for in here: a line is booked and written, or neither."""
        job, gateway = self.job, self.job.find_gateway()
        call, exchange = await begin_line(gateway, job.caller, job.api, line)
        answered = await book(call, exchange, gateway, deployment, result, self.deposit)
        written = write_result(job.row["id"], line, answered.status, answered.request_id, answered.body)
        self.progress.add(written, is_good=answered.status < 400)
