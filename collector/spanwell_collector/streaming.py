"""Sends what is read piece by piece to a client, no faster than it takes it, and stops the reading when it leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, Protocol

from starlette.types import Message, Receive, Send

STALLED_SECONDS: Final = 60.0  # a client that takes nothing for so long has gone
START: Final = "http.response.start"
BODY: Final = "http.response.body"


class Reading(Protocol):
    """An answer under way. Both methods block."""

    def read(self) -> bytes:
        """The next piece; empty at the end."""

    def abandon(self) -> None:
        """End it, if it has not."""


class GoneError(Exception):
    """The client has left."""


@asynccontextmanager
async def ended_when_left(reading: Reading, receive: Receive, threads: ThreadPoolExecutor) -> AsyncIterator[None]:
    """Abandon `reading` as soon as the client leaves, and when the block is over in any case."""
    watch = asyncio.create_task(_await_leaving(receive))
    watch.add_done_callback(lambda done: None if done.cancelled() else _end(reading, threads))
    try:
        yield
    finally:
        watch.cancel()
        _end(reading, threads)


async def read_ahead(
    read: Callable[[], bytes], threads: ThreadPoolExecutor, *, enough: int
) -> tuple[list[bytes], bool]:
    """The first pieces, up to `enough` bytes, and whether that is all. Raises what reading raises."""
    loop = asyncio.get_running_loop()
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < enough:
        piece = await loop.run_in_executor(threads, read)
        if not piece:
            return pieces, True
        pieces.append(piece)
    return pieces, False


async def send_start(send: Send, headers: Iterable[tuple[str, str]]) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await _hand_over(send, {"type": START, "status": 200, "headers": encoded})


async def send_piece(send: Send, piece: bytes, *, more: bool = True) -> None:
    """Raises GoneError when the client takes nothing any more."""
    await _hand_over(send, {"type": BODY, "body": piece, "more_body": more})


def _end(reading: Reading, threads: ThreadPoolExecutor) -> None:
    threads.submit(reading.abandon)


async def _await_leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hand_over(send: Send, message: Message) -> None:
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await send(message)
    except (TimeoutError, OSError) as error:
        raise GoneError from error
