"""Notices clients that leave while their call waits, or read no more, and takes the call back from the backend.

A sweep looks at calls that are not answered yet and starts listening for a disconnect, so the many that are answered
at once pay nothing for it.
"""

import asyncio
import time
from typing import Final

from spanwell_proxy.call import Call
from spanwell_proxy.gateway import Gateway

SWEEP_S = 0.25
UNREAD_S: Final = 30.0  # for what is still to be sent and looked at once the backend's own time is up


async def watch_clients(gateway: Gateway) -> None:
    """Runs until it is cancelled."""
    listening: dict[Call, asyncio.Task[None]] = {}
    try:
        while True:
            await asyncio.sleep(SWEEP_S)
            for call in [call for call in listening if call not in gateway.in_flight]:
                listening.pop(call).cancel()
            now = time.perf_counter()
            for call, task in gateway.in_flight.items():
                if is_stuck(call, now) and not call.gone:
                    call.gone = True
                    task.cancel()
                if call.body and call not in listening:
                    listening[call] = asyncio.create_task(_await_departure(call, task))
    finally:
        for listener in listening.values():
            listener.cancel()


def is_stuck(call: Call, now: float) -> bool:
    """Whether a stream is under way for longer than any backend may take: its client is there, and does not read."""
    if not call.replied or call.answered or not call.attempts:
        return False
    tried = call.attempts[-1]
    return now - tried.started > tried.deployment.timeout_s + UNREAD_S


async def _await_departure(call: Call, task: asyncio.Task[None]) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
    if not call.answered:
        call.gone = True
        task.cancel()
