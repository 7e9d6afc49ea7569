"""Ends a child process whose parent is gone: one that was killed can stop nobody, and the port would stay taken."""

import asyncio
import os
import signal

LOOK_EVERY_S = 0.5


async def end_with_parent() -> None:
    """Runs until cancelled; sends this process SIGTERM once another one has adopted it."""
    parent = os.getppid()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            return
