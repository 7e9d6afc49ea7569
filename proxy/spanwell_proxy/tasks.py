"""Tasks in the background: one that nobody waits for must not die in silence."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


def start_task(job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it beside everything else; what ends it too early is logged."""
    task = asyncio.create_task(job)
    task.add_done_callback(_tell_failure)
    return task


async def stop_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel them, and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s ended", task.get_coro(), exc_info=error)
