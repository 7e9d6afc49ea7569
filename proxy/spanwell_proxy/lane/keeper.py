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
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

from spanwell.errors import ConfigError

logger = logging.getLogger(__name__)

LONGEST_SOCKET_PATH = 100  # the kernel's bound is 108
MOST_MEMORY_BYTES = 1024 * 1024 * 1024  # a fresh one has 0.3 GB, and LiteLLM is known to grow
LOOK_EVERY_S = 5.0
RESTART_PAUSE_S = 1.0
GRACE_S = 15.0
# LiteLLM reads these when it is imported: no download of prices, no chatter.
ENVIRON = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}


def lane_socket(data: Path) -> Path:
    """Where the lane listens; outside the data directory only where that one's name is too long for a socket."""
    path = (data / "proxy" / "lane.sock").absolute()
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"spanwell-{os.getuid()}" / f"{digest}.sock"


async def keep_lane(path: Path) -> None:
    """Run the lane and start it again whenever it ends, until cancelled."""
    listener = _listen(path)
    try:
        while True:
            process = await _start(listener)
            try:
                await _wait(process)
            finally:
                await _stop(process)
            logger.warning("the LiteLLM lane ended with status %s; starting it again", process.returncode)
            await asyncio.sleep(RESTART_PAUSE_S)
    finally:
        listener.close()


def resident_bytes(pid: int) -> int:
    """Memory of a process, as Linux tells; 0 where it does not."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():  # keys of backends go through this socket
        raise ConfigError(f"{path.parent} belongs to somebody else: choose a shorter SPANWELL_DATA")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1024)
    return listener


async def _start(listener: socket.socket) -> Process:
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "spanwell_proxy.lane.translator", str(descriptor)]
    return await asyncio.create_subprocess_exec(*command, pass_fds=[descriptor], env={**os.environ, **ENVIRON})


async def _wait(process: Process) -> None:
    """Until the process ends, or has grown too large."""
    while process.returncode is None:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), LOOK_EVERY_S)
        if process.returncode is None and resident_bytes(process.pid) > MOST_MEMORY_BYTES:
            logger.info("the LiteLLM lane uses more than %d bytes of memory", MOST_MEMORY_BYTES)
            return


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
