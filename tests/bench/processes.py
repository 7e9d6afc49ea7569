"""Starts servers on a core of their own, waits for them, stops them, and reads from /proc what they used."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
USER_TICKS, SYSTEM_TICKS, RESIDENT_PAGES = 11, 12, 21  # positions in /proc/PID/stat after the command's name


class Server(NamedTuple):
    """A started process and where its output goes."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


class Footprint(NamedTuple):
    """What a process and its descendants have used: CPU since they started, and memory now."""

    cpu_s: float
    rss_mb: float


def footprint(pid: int) -> Footprint:
    """Sum over `pid` and its living descendants. Raises FileNotFoundError where `pid` is gone."""
    stats = [_stat(member) for member in process_tree(pid)]
    ticks = sum(int(stat[USER_TICKS]) + int(stat[SYSTEM_TICKS]) for stat in stats)
    pages = sum(int(stat[RESIDENT_PAGES]) for stat in stats)
    return Footprint(ticks / TICKS_A_SECOND, pages * PAGE_BYTES / 1e6)


def process_tree(pid: int) -> list[int]:
    """`pid` and its descendants."""
    tree = [pid]
    for member in tree:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            tree += [int(child) for child in children.read_text(encoding="ascii").split()]
    return tree


def _stat(pid: int) -> list[str]:
    # The command's name is in parentheses and may hold blanks and parentheses itself.
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def busy_share(seconds: float = 1.0) -> float:
    """How much of all cores was in use for `seconds`: what disturbs a measurement that has not begun."""
    before = _cpu_ticks()
    time.sleep(seconds)
    total, idle = (after - earlier for after, earlier in zip(_cpu_ticks(), before, strict=True))
    return 1 - idle / total


def _cpu_ticks() -> tuple[int, int]:
    """All ticks since boot, and the idle ones among them."""
    ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


@contextmanager
def running(command: Sequence[str], core: int, log: Path, environ: Mapping[str, str] = os.environ) -> Iterator[Server]:
    """The command, pinned to `core`, its output in `log`; ended when the block is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Server(process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url: str, server: Server, seconds: float = 90) -> None:
    """Return once `url` answers 200. Raises RuntimeError where the process ends first or time runs out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            log = server.log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{server.process.args!r} ended with status {server.process.returncode}\n{log[-2000:]}")
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {seconds:.0f} s")
