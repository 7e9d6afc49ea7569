"""Notices clients that leave while their call waits, and takes the call back from the backend.

A sweep looks at calls that are not answered yet and starts listening for a disconnect, so the many that are answered
at once pay nothing for it.
"""

import asyncio

from spanwell_proxy.call import Call
from spanwell_proxy.gateway import Gateway

SWEEP_S = 0.25


async def watch_clients(gateway: Gateway) -> None:
    """Runs until it is cancelled."""
    listening: dict[Call, asyncio.Task[None]] = {}
    try:
        while True:
            await asyncio.sleep(SWEEP_S)
            for call in [call for call in listening if call not in gateway.in_flight]:
                listening.pop(call).cancel()
            for call, task in gateway.in_flight.items():
                if call.body and call not in listening:
                    listening[call] = asyncio.create_task(_await_departure(call, task))
    finally:
        for listener in listening.values():
            listener.cancel()


async def _await_departure(call: Call, task: asyncio.Task[None]) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
    if not call.answered:
        call.gone = True
        task.cancel()
