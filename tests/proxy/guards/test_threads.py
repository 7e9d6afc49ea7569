"""Functions that may hang run beside the loop, and hold up neither the others nor the end of the process."""

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from spanwell_proxy.guards.threads import RaisedError, Threads

HANGS = """
import asyncio, time
from spanwell_proxy.guards.threads import Threads

async def main():
    async with asyncio.timeout(0.05):
        await Threads(1).run(lambda _: time.sleep(60), None)

try:
    asyncio.run(main())
except TimeoutError:
    raise SystemExit(7)
"""


async def test_as_many_run_at_once_as_there_are_threads() -> None:
    threads, together = Threads(3), threading.Barrier(3)

    places = await asyncio.wait_for(asyncio.gather(*(threads.run(lambda _: together.wait(5), None) for _ in "123")), 5)

    assert sorted(places) == [0, 1, 2]


async def test_what_waits_comes_to_its_turn_and_threads_end_when_idle() -> None:
    threads = Threads(2, idle_s=0.05)

    said = await asyncio.gather(*(threads.run(lambda number: number * 2, number) for number in range(50)))
    await asyncio.sleep(0.3)

    assert said == [number * 2 for number in range(50)]
    assert threads._count == threads._open == 0
    assert await threads.run(str, 5) == "5"


@pytest.mark.parametrize("error", [ValueError, StopIteration, SystemExit])
async def test_whatever_is_raised_is_told(error: type[BaseException]) -> None:
    def fail(_: Any) -> None:
        raise error

    with pytest.raises(RaisedError, match=error.__name__):
        await Threads(1).run(fail, None)


def test_one_that_hangs_does_not_keep_the_process() -> None:
    began = time.monotonic()

    ended = subprocess.run([sys.executable, "-c", HANGS], check=False, timeout=30)

    assert ended.returncode == 7
    assert time.monotonic() - began < 20
