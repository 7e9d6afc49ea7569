"""Threads for functions that may hang. They are daemons: a ThreadPoolExecutor's would keep the worker from ending."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, NamedTuple

IDLE_S: Final = 30.0  # a thread without work ends after so long


class RaisedError(Exception):
    """The function raised; the text is the name of what."""


class Job(NamedTuple):
    """What to call, and who waits for it."""

    function: Callable[[Any], Any]
    argument: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Threads:
    """At most `most` of them, begun when they are needed."""

    def __init__(self, most: int, idle_s: float = IDLE_S) -> None:
        self._most = most
        self._idle_s = idle_s
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = Lock()
        self._count = self._open = 0  # threads; jobs that wait or run

    async def run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """What the function returns. Raises RaisedError for whatever it raises."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            self._jobs.put(Job(function, argument, loop, future))
            self._open += 1
            begins = self._open > self._count and self._count < self._most
            self._count += begins
        if begins:
            Thread(target=self._work, daemon=True, name="guard").start()
        return await future

    def _work(self) -> None:
        while job := self._take():
            if not job.future.cancelled():  # else nobody waits for it any more
                said, error = _call(job)
                with suppress(RuntimeError):  # the loop has ended
                    job.loop.call_soon_threadsafe(_tell, job.future, said, error)
            with self._lock:
                self._open -= 1

    def _take(self) -> Job | None:
        try:
            return self._jobs.get(timeout=self._idle_s)
        except Empty:
            with self._lock:
                if self._jobs.empty():
                    self._count -= 1
                    return None
            return self._jobs.get()


def _call(job: Job) -> tuple[Any, BaseException | None]:
    try:
        return job.function(job.argument), None
    except BaseException as error:  # noqa: BLE001 - somebody else's code: not even its sys.exit() is ours
        return None, error


def _tell(future: asyncio.Future[Any], said: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(said)
    else:
        told = RaisedError(type(error).__name__)
        told.__cause__ = error
        future.set_exception(told)
