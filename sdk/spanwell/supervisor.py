"""Keeps child processes alive: starts them, forwards their output, restarts the dead, stops all in order.

What the processes are and when each may start is the caller's. One thread: a fork beside threads is never safe.
"""

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

POLL_S = 0.05
STEADY_S = 30.0  # who lived this long starts again with a clean record
LONGEST_LINE = 64 * 1024
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

Say = Callable[[str, str], None]
"""Takes a process's name and one line of text."""


@dataclass(frozen=True)
class Service:
    """A process to run: its command, its environment, and how to ask whether it works."""

    name: str
    command: Sequence[str]
    is_healthy: Callable[[], Awaitable[bool]]
    environ: Mapping[str, str]


class Child:
    """A service that runs until `stop`. Create it inside a running event loop; `start` launches the first process."""

    def __init__(self, service: Service, say: Say) -> None:
        self.service = service
        self.pid: int | None = None
        self.exits: list[int] = []
        self._was_healthy = False
        self._say = say
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running())

    async def wait_healthy(self, timeout_s: float) -> bool:
        """Whether the service answers within `timeout_s`; False at once when its configuration is refused."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self.refused:
            if self.pid is not None and await self.service.is_healthy():
                self._was_healthy = True
                return True
            await asyncio.sleep(POLL_S)
        return False

    @property
    def refused(self) -> bool:
        """The process said that its configuration is wrong, which no restart mends."""
        return not self._was_healthy and self.exits[-1:] == [2]

    async def stop(self, grace_s: float) -> None:
        """Ask the process to end, kill it and what it left behind after `grace_s`, and wait until it is gone."""
        self._stopping.set()
        if self._task is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self._task], timeout=grace_s)
        if not done:
            self._say(self.service.name, f"still there after {grace_s:.0f} s: killed")
            self.kill()
            await self._task

    def kill(self) -> None:
        """End the process and its whole group at once, for good."""
        self._stopping.set()
        if self.pid is not None:
            _signal_group(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    async def _keep_running(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run_once()
            self.exits.append(code)
            if self._stopping.is_set() or self.refused:
                return
            deaths = 0 if time.monotonic() - started > STEADY_S else deaths + 1
            wait_s = backoff_s(deaths)
            self._say(self.service.name, f"{describe_exit(code)}; starting it again in {wait_s:g} s")
            await _wait_for(self._stopping, wait_s)

    async def _run_once(self) -> int:
        process = _spawn(self.service)
        self.pid = process.pid
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        lines = await self._forward_output(process)
        while (code := process.poll()) is None:  # noqa: ASYNC110 - waiting otherwise takes a thread
            await asyncio.sleep(POLL_S)
        _signal_group(process.pid, signal.SIGKILL)  # what the process itself started and did not end
        self.pid = None
        await _wait_for(lines.closed, 1.0)
        lines.close()
        return code

    async def _forward_output(self, process: "subprocess.Popen[bytes]") -> "_Lines":
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Lines(lambda line: self._say(self.service.name, line)), process.stdout
        )
        return protocol


class _Lines(asyncio.Protocol):
    """Cuts a byte stream into printable lines; a line without an end is cut at LONGEST_LINE."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self.closed = asyncio.Event()
        self._emit = emit
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in filter(bytes.strip, lines):
            self._emit(printable(line))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._rest:
            self._emit(printable(self._rest))
        self.closed.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def backoff_s(deaths: int) -> float:
    """Seconds to wait before start number `deaths` + 1: half a second, doubled each time, at most half a minute."""
    return float(min(0.5 * 2 ** max(deaths - 1, 0), 30.0))


def describe_exit(code: int) -> str:
    """`exited with 1`, or `killed by SIGKILL`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def printable(line: bytes) -> str:
    """Text that cannot steer a terminal: a log line may quote a prompt."""
    return ESCAPE.sub("", line.decode("utf-8", "replace"))


def _spawn(service: Service) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        list(service.command),
        env=dict(service.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops the others in order
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """Let the kernel end this process when the supervisor dies, however it dies (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
