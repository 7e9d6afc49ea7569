"""Tasks in the background: one that nobody waits for must not die in silence."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

CANCEL_AGAIN_S = 0.5


def start_task(job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it beside everything else; what ends it too early is logged."""
    task = asyncio.create_task(job)
    task.add_done_callback(_tell_failure)
    return task


async def stop_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel them, and wait until they are gone.

    A task may have to be told again: the client of Redis takes a cancellation in the midst of a command for its own.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s ended", task.get_coro(), exc_info=error)
