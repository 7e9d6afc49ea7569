"""Ends the questions of clients that have left: nobody would read the answer."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from anyio import to_thread
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from spanwell_collector.store.asking import ASKER, Asker
from spanwell_collector.store.client import Store

AGAIN_SECONDS: Final = 0.5  # a statement that has not reached the engine yet cannot be ended
CLIENT_LEFT: Final = 499  # as others have it in their logs; nobody gets it

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def leavable(store: Store) -> type[APIRoute]:
    """The class of routes that ask `store` for as long as their client waits. They must not read a body."""

    class LeavableRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()
            return handler if self.methods != {"GET"} else partial(_answer, store, handler)

    return LeavableRoute


async def _answer(store: Store, handler: Handler, request: Request) -> Response:
    asker = Asker()
    ASKER.set(asker)
    answering = asyncio.create_task(handler(request))
    leaving = asyncio.create_task(_await_leaving(request))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    if answering.done():
        leaving.cancel()
        return answering.result()
    asker.has_left = True
    while not answering.done():
        await to_thread.run_sync(store.end, asker.tag)
        await asyncio.wait({answering}, timeout=AGAIN_SECONDS)
    answering.exception()  # that it was ended, which is no news
    return Response(status_code=CLIENT_LEFT)


async def _await_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
