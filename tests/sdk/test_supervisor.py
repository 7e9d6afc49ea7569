"""The supervisor over small real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spanwell.supervisor import Child, Service, backoff_s, describe_exit, printable
from tests.sdk.sink import wait_until

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
GRANDCHILD = (
    "import subprocess, sys, time; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
)


class Log:
    """What the children said, and a way to wait for a word of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")

    async def wait_for(self, word: str, times: int = 1) -> str:
        async with asyncio.timeout(10):
            while sum(word in line for line in self.lines) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return [line for line in self.lines if word in line][-1]


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def make_child(log: Log, code: str, is_healthy: object = yes) -> Child:
    command = (sys.executable, "-c", code)
    return Child(Service("web", command, is_healthy if callable(is_healthy) else yes, dict(os.environ)), log.say)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_output_is_forwarded_under_the_name() -> None:
    log = Log()
    child = make_child(log, SLEEP)

    child.start()

    assert await log.wait_for("up") == "web: up"
    await child.stop(5)


async def test_a_dead_process_is_started_again_and_said_so() -> None:
    log = Log()
    child = make_child(log, SLEEP)
    child.start()
    await log.wait_for("up")
    assert child.pid is not None

    os.kill(child.pid, signal.SIGKILL)

    await log.wait_for("up", times=2)
    assert "web: killed by SIGKILL; starting it again in 0.5 s" in log.lines
    await child.stop(5)


async def test_stop_leaves_no_process() -> None:
    log = Log()
    child = make_child(log, SLEEP)
    child.start()
    await log.wait_for("up")
    pid = child.pid

    await child.stop(5)

    assert pid is not None
    assert not is_alive(pid)
    assert child.exits == [-signal.SIGTERM]


async def test_a_process_that_ignores_the_request_is_killed() -> None:
    log = Log()
    child = make_child(log, STUBBORN)
    child.start()
    await log.wait_for("up")

    await child.stop(0.2)

    assert child.exits == [-signal.SIGKILL]


async def test_what_a_process_started_goes_with_it() -> None:
    log = Log()
    child = make_child(log, GRANDCHILD)
    child.start()
    grandchild = int((await log.wait_for("web: ")).removeprefix("web: "))

    await child.stop(5)

    assert wait_until(lambda: not is_alive(grandchild), seconds=5)


async def test_a_wrong_configuration_is_not_tried_again() -> None:
    log = Log()
    child = make_child(log, "import sys; print('error: bad'); sys.exit(2)", is_healthy=no)
    child.start()

    is_healthy = await child.wait_healthy(10)

    assert not is_healthy
    assert child.refused
    assert child.exits == [2]
    await child.stop(1)


async def test_a_stop_ends_the_wait_before_a_restart() -> None:
    log = Log()
    child = make_child(log, "raise SystemExit(1)")
    child.start()
    await log.wait_for("starting it again in 2 s")
    started = time.monotonic()

    await child.stop(5)

    assert time.monotonic() - started < 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "supervise.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from spanwell.supervisor import Child, Service\n"
        "async def yes(): return True\n"
        "async def main():\n"
        f"    service = Service('web', (sys.executable, '-c', {SLEEP!r}), yes, dict(os.environ))\n"
        "    child = Child(service, lambda *_: None)\n"
        "    child.start()\n"
        "    await child.wait_healthy(5)\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    supervisor = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()

    assert wait_until(lambda: not is_alive(pid), seconds=5)


@pytest.mark.parametrize(("deaths", "expected"), [(1, 0.5), (2, 1.0), (4, 4.0), (20, 30.0)])
def test_backoff_doubles_up_to_half_a_minute(deaths: int, expected: float) -> None:
    assert backoff_s(deaths) == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(3, "exited with 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_exits_are_described(code: int, expected: str) -> None:
    assert describe_exit(code) == expected


def test_a_log_line_cannot_steer_the_terminal() -> None:
    assert printable(b"\x1b[2J\x1b[31mred\x1b[0m\x07 \xff\ttab") == "red �\ttab"
