"""Keeps the LiteLLM lane running: a process of its own behind a unix socket, which this one holds.

The socket outlives the process, so calls that come while the lane starts or is replaced wait in its backlog. What a
process was working on when it died is one failed attempt.
"""

import asyncio
import hashlib
import logging
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import Counter

from spanwell.errors import ConfigError
from spanwell_proxy.lane.environment import scrub
from spanwell_proxy.telemetry.metrics import REGISTRY

logger = logging.getLogger(__name__)

STARTS = Counter(
    "spanwell_lane_starts", "Processes of the LiteLLM lane, by why each was started.", ["why"], registry=REGISTRY
)

LONGEST_SOCKET_PATH = 100  # the kernel's bound is 108
BACKLOG = 4096  # calls that wait while a process starts
START_S = 60.0  # a busy machine imports LiteLLM slowly
SILENCE_S = 30.0  # it says each second that it lives: LiteLLM may block a loop for good
DRAIN_S = 900.0  # longer than a call may take
GRACE_S = 10.0  # at shutdown
SHORT_LIFE_S = 10.0  # who dies younger than this is started again after a pause only
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
WORN = b"w"


class Wear(NamedTuple):
    """When a process is replaced: LiteLLM is known to grow. A fresh one has 0.3 GB."""

    calls: int = 100_000
    memory_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Lane:
    """One process, and the pipe on which it says how it is."""

    process: Process
    pipe: asyncio.StreamReader
    started: float
    spoke: asyncio.Event = field(default_factory=asyncio.Event)


WEAR: Final = Wear()


def lane_socket(data: Path) -> Path:
    """Where the lane listens; outside the data directory only where that one's name is too long for a socket."""
    path = (data / "proxy" / "lane.sock").absolute()
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"spanwell-{os.getuid()}" / f"{digest}.sock"


async def keep_lane(path: Path, *, at_once: bool, wear: Wear = WEAR, environ: Mapping[str, str] = os.environ) -> None:
    """Start the lane, at once or when the first call comes for it, and keep it running until cancelled.

    `environ` may hold keys of providers; nearly all else of it is kept from LiteLLM.
    """
    with _listen(path) as listener:
        if not at_once:
            await _await_call(listener)
        keeper = Keeper(listener, wear, scrub(environ))
        try:
            await keeper.run()
        finally:
            await keeper.stop()


class Keeper:
    """Every process there is: the one that serves, and those that still end their calls."""

    def __init__(self, listener: socket.socket, wear: Wear, environ: Mapping[str, str]) -> None:
        self._listener = listener
        self._wear = wear
        self._environ = environ
        self._lanes: set[Lane] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        pause_s, why = 0.0, "first"
        while True:
            lane = await self._start(why)
            if lane:
                lane = await self._watch(lane)
                await self._retire(lane)
                logger.warning("the LiteLLM lane ended with status %s; starting it again", lane.process.returncode)
            pause_s, why = await self._pause(lane, pause_s), "again"

    async def stop(self) -> None:
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(_stop(lane, GRACE_S) for lane in self._lanes))

    async def _start(self, why: str) -> Lane | None:
        STARTS.labels(why).inc()
        try:
            lane = await _start_process(self._listener, self._wear, self._environ)
        except OSError as error:  # no memory, no descriptors: it may pass
            logger.error("the LiteLLM lane cannot be started: %s", error)
            return None
        self._lanes.add(lane)
        return lane

    async def _watch(self, lane: Lane) -> Lane:
        """Until a process ends or is silent; one that is worn is replaced by a fresh one first. Returns the last."""
        said = await _hear(lane, START_S)
        while said:
            if said.endswith(WORN):
                lane = await self._replace(lane)
            said = await _hear(lane, SILENCE_S)
        return lane

    async def _replace(self, worn: Lane) -> Lane:
        fresh = await self._start("worn")
        if fresh and await _hear(fresh, START_S):
            task = asyncio.create_task(self._retire(worn))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            return fresh
        logger.error("no fresh LiteLLM lane can be started: the worn one goes on")
        if fresh:
            await self._retire(fresh)
        await asyncio.sleep(LONGEST_PAUSE_S)
        return worn

    async def _retire(self, lane: Lane) -> None:
        await _stop(lane, DRAIN_S)
        self._lanes.discard(lane)

    async def _pause(self, lane: Lane | None, before_s: float) -> float:
        """Who lived long is followed at once; behind who never spoke, callers must not wait for what may never come."""
        if lane and time.monotonic() - lane.started > SHORT_LIFE_S:
            return 0.0
        if not lane or not lane.spoke.is_set():
            with suppress(BlockingIOError):
                while True:
                    self._listener.accept()[0].close()
        pause_s = min(LONGEST_PAUSE_S, before_s * 2 or FIRST_PAUSE_S)
        await asyncio.sleep(pause_s)
        return pause_s


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():  # keys of backends go through this socket
        raise ConfigError(f"{path.parent} belongs to somebody else: choose a shorter SPANWELL_DATA")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


async def _await_call(listener: socket.socket) -> None:
    """Until somebody connects; who accepts is the process."""
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, called.set)
    try:
        await called.wait()
    finally:
        loop.remove_reader(listener)


async def _start_process(listener: socket.socket, wear: Wear, environ: Mapping[str, str]) -> Lane:
    reading, writing = os.pipe()
    pipe = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(pipe), os.fdopen(reading, "rb", 0)
    )
    descriptors = (listener.fileno(), writing)
    # -P: what lies in the working directory is not LiteLLM's to import.
    command = [sys.executable, "-P", "-m", "spanwell_proxy.lane.server", *map(str, (*descriptors, os.getpid(), *wear))]
    try:
        process = await asyncio.create_subprocess_exec(*command, pass_fds=descriptors, env=environ)
    finally:
        os.close(writing)
    return Lane(process, pipe, time.monotonic())


async def _hear(lane: Lane, timeout_s: float) -> bytes:
    """What the process says next; nothing where it has ended, or is silent for too long."""
    try:
        said = await asyncio.wait_for(lane.pipe.read(4096), timeout_s)
    except TimeoutError:
        logger.error("the LiteLLM lane has said nothing for %g s", timeout_s)
        with suppress(ProcessLookupError):
            lane.process.kill()
        return b""
    if said:
        lane.spoke.set()
    return said


async def _stop(lane: Lane, grace_s: float) -> None:
    """Let it end its calls, and end it when they take too long."""
    process = lane.process
    if process.returncode is not None:
        return
    try:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
