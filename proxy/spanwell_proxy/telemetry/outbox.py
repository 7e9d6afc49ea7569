"""Batches on their way to the collector: a spool on disk, and what posts its segments in order.

While the collector is away the spool grows to its bound. A segment is removed once the collector has it; one that it
will never take is moved aside, into `dead`.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ParamSpec, TypeVar

import aiohttp

from spanwell.errors import SpoolFullError
from spanwell.spool import Segment, Spool

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 1024 * 1024  # how large a segment grows while others wait
SEND_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
NEVER = frozenset((400, 413, 415))  # what the collector answers to a segment that it will never take

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The collector's OTLP address, and the token it asks for."""

    url: str
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        kind = {"content-type": "application/x-protobuf"}
        return kind | ({"authorization": f"Bearer {self.token}"} if self.token else {})


class Outbox:
    """The spool in `directory` and its way out."""

    def __init__(self, directory: Path, target: Target, *, max_bytes: int) -> None:
        self._spool = Spool(directory, max_bytes=max_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")  # the spool's one owner: fsync takes time
        self._target = target
        self._dead = directory.with_name("dead")
        self._sealed = asyncio.Event()
        self._sealed.set()  # what an earlier process left goes first
        self._newest: tuple[Segment, bytes] | None = None  # that holds one batch alone: it need not be read again
        self._trouble = ""
        self._closing = False

    @property
    def size_bytes(self) -> int:
        return self._spool.size_bytes

    async def append(self, batch: bytes) -> None:
        """Keep one batch, and hand it to the sender; while that has others to send, in one large segment with more.

        Raises SpoolFullError.
        """
        await self._in_thread(self._append, batch)
        self._sealed.set()

    async def send(self) -> None:
        """Post segments in order, until `close`."""
        async with aiohttp.ClientSession() as session:
            while not self._closing:
                await self._sealed.wait()
                self._sealed.clear()
                while segments := self._spool.sealed():
                    await self._send_until_taken(session, segments[0])

    async def close(self, sending: asyncio.Task[None], patience_s: float) -> None:
        """Seal, give `sending` a moment to deliver the rest, and leave what remains to the next start."""
        await self._in_thread(self._seal)
        self._sealed.set()
        self._closing = True
        _, unfinished = await asyncio.wait((sending,), timeout=patience_s)
        for task in unfinished:
            task.cancel()
            logger.warning("spans the collector did not take yet wait in %s", self._spool.directory)
        await asyncio.gather(*unfinished, return_exceptions=True)
        self._thread.shutdown()

    async def _send_until_taken(self, session: aiohttp.ClientSession, segment: Segment) -> None:
        try:
            payload = await self._read(segment)
        except OSError as error:
            logger.error("the spans of segment %s are lost: %s", segment.id, error.strerror)
            await self._in_thread(self._remove, segment)
            return
        pause_s = FIRST_PAUSE_S
        while True:
            status, asked_s = await self._post(session, payload)
            if status == 200 or status in NEVER:
                break
            await asyncio.sleep(max(asked_s, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if status != 200:
            logger.error(
                "the collector refused segment %s with status %d; it lies in %s", segment.id, status, self._dead
            )
            await self._in_thread(self._keep_aside, segment)
        await self._in_thread(self._remove, segment)

    async def _read(self, segment: Segment) -> bytes:
        """Raises OSError."""
        newest, self._newest = self._newest, None
        if newest and newest[0] is segment:
            return newest[1]
        return b"".join(await self._in_thread(segment.payloads))

    async def _post(self, session: aiohttp.ClientSession, payload: bytes) -> tuple[int, float]:
        """Status, or 0 where there is no answer; and the seconds the collector asks us to wait."""
        timeout = aiohttp.ClientTimeout(total=SEND_TIMEOUT_S)
        try:
            async with session.post(
                self._target.url, data=BytesIO(payload), headers=self._target.headers, timeout=timeout
            ) as answer:
                asked = answer.headers.get("Retry-After", "")
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._note(f"cannot be reached: {type(error).__name__}")
            return 0, 0.0
        self._note("" if status == 200 or status in NEVER else f"answers {status}")
        return status, min(float(asked), LONGEST_PAUSE_S) if asked.isdigit() else 0.0

    def _note(self, trouble: str) -> None:
        # Once a change, not once a try.
        if trouble != self._trouble:
            logger.warning("the collector at %s %s", self._target.url, trouble or "answers again")
        self._trouble = trouble

    # What follows is done in the spool's thread, in one turn what can be: each costs both threads a wake-up.

    def _append(self, batch: bytes) -> None:
        is_first = not self._spool.open_bytes
        self._spool.append(batch)
        if not self._spool.sealed() or self._spool.open_bytes >= SEGMENT_BYTES:
            segment = self._seal()
            self._newest = (segment, batch) if segment and is_first else None

    def _remove(self, segment: Segment) -> None:
        self._spool.remove(segment)
        if not self._spool.sealed():
            self._seal()

    def _seal(self) -> Segment | None:
        try:
            return self._spool.seal()
        except SpoolFullError as error:
            logger.error("the newest spans are lost: %s", error)
            return None

    def _keep_aside(self, segment: Segment) -> None:
        self._dead.mkdir(exist_ok=True)
        segment.path.replace(self._dead / segment.path.name)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
