"""Ends a child process whose parent is gone: one that was killed can stop nobody, and the port would stay taken."""

import asyncio
import os
import signal

LOOK_EVERY_S = 0.5


async def end_with_parent(parent: int) -> None:
    """Runs until cancelled; sends this process SIGTERM once another one has adopted it.

    `parent` is told by the one that started it: it may be gone before this process has read its first line.
    """
    while os.getppid() == parent:  # noqa: ASYNC110 the kernel has no event for it
        await asyncio.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
