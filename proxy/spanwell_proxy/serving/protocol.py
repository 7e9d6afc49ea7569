"""uvicorn's HTTP, with answers that leave in one piece: it writes an answer's head and its body one after the other."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spanwell_proxy.gathering import Gathering


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathering = Gathering(cast(asyncio.Transport, transport))  # uvloop's own class, of the same methods
        super().connection_made(cast(asyncio.Transport, gathering))
