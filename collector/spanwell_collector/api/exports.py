"""The route of exports: a file of any size, streamed."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from spanwell.errors import StoreError
from spanwell_collector.api.filters import describe_filters
from spanwell_collector.api.params import Filtered
from spanwell_collector.queries.export import Export, Format, What, begin_export
from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.client import Store
from spanwell_collector.streaming import GoneError, ended_when_left, send_piece, send_start

logger = logging.getLogger("spanwell.collector")

SLOTS: Final = 2  # at a time: each keeps two processors busy
MEDIA_TYPES: Final[dict[Format, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/x-ndjson",
}
ROWS: Final = "x-spanwell-rows"


class ExportQuestion(Filtered):
    what: What
    format: Format = "jsonl"


class Desk:
    """What exports share: their threads, and how many there may be."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.threads = ThreadPoolExecutor(3 * SLOTS, thread_name_prefix="export")
        self.slots = asyncio.Semaphore(SLOTS)


class Download(Response):
    """Sends an export. It breaks off, rather than ends, when something fails on the way."""

    def __init__(self, desk: Desk, selection: Selection, asked: ExportQuestion) -> None:
        super().__init__()
        self._desk = desk
        self._selection = selection
        self._asked = asked

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Raises StoreError while nothing has been sent."""
        if self._desk.slots.locked():
            raise StoreError(f"{SLOTS} exports are under way already: try again later")
        async with self._desk.slots:
            begin = partial(begin_export, self._desk.store, self._selection, self._asked.what, self._asked.format)
            export = await asyncio.get_running_loop().run_in_executor(self._desk.threads, begin)
            async with ended_when_left(export, receive, self._desk.threads):
                await self._send(export, send)

    async def _send(self, export: Export, send: Send) -> None:
        loop = asyncio.get_running_loop()
        try:
            await send_start(send, self._describe(export.rows).items())
            while piece := await loop.run_in_executor(self._desk.threads, export.read):
                await send_piece(send, piece)
            await send_piece(send, b"", more=False)
        except StoreError as error:
            logger.warning("an export of %s broke off: %s", self._asked.what, error)
        except GoneError:
            logger.info("whoever asked for an export of %s has left", self._asked.what)

    def _describe(self, rows: int) -> dict[str, str]:
        return {
            "Content-Type": MEDIA_TYPES[self._asked.format],
            "Content-Disposition": f'attachment; filename="{self._asked.what}.{self._asked.format}"',
            ROWS: str(rows),
        }


def build_export_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(tags=["exports"])
    desk = Desk(store)

    @routes.get("/export", openapi_extra=describe_filters())
    async def export(asked: Annotated[ExportQuestion, Query()]) -> Response:
        """Everything stored of a window, in no order; `X-Spanwell-Rows` says how many rows make it whole."""
        return Download(desk, asked.select(project, datetime.now(UTC)), asked)

    return routes
