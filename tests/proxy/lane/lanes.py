"""The lane alone: its keeper in the test's loop, and errands straight to its socket."""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from spanwell_proxy.lane.keeper import WEAR, Wear, keep_lane, lane_socket
from tests.proxy.backend import SECRET, until
from tests.proxy.gateway import PLAIN

File = tuple[str, str, str, bytes]


@dataclass
class Lane:
    """A running one."""

    socket: Path

    async def post(
        self, path: str, request: Mapping[str, Any], params: Mapping[str, Any], *files: File
    ) -> httpx.Response:
        errand = {"request": request, "params": {"api_key": SECRET} | dict(params), "timeout_s": 10.0}
        given = [(*file[:3], b64encode(file[3]).decode()) for file in files]
        async with self.client() as client:
            return await client.post("http://lane" + path, json=errand | {"files": given})

    async def health(self) -> dict[str, Any]:
        async with self.client() as client:
            told: dict[str, Any] = (await client.get("http://lane/")).json()
        return told

    def client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=PLAIN)
        return httpx.AsyncClient(transport=transport, timeout=60.0, verify=PLAIN)


@asynccontextmanager
async def running_lane(folder: Path, *, at_once: bool = True, wear: Wear = WEAR) -> AsyncIterator[Lane]:
    socket = lane_socket(folder)
    keeping = asyncio.create_task(keep_lane(socket, at_once=at_once, wear=wear))
    await until(socket.exists)
    try:
        yield Lane(socket)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def lane_pids() -> list[int]:
    """Lanes that this process has started, the oldest first."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline") for pid in children}
    return [pid for pid, path in commands.items() if path.exists() and b"lane.server" in path.read_bytes()]
