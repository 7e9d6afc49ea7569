"""The door's port: who may ask, what is asked, how many at a time, and what ends a statement.

Stock clients connect to it as to a server. What may run is decided in store.guard.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from spanwell_collector.access.gate import Gate
from spanwell_collector.access.rights import OPEN_PATHS, Identity, Refusal
from spanwell_collector.door.asking import Asked, read_asked
from spanwell_collector.door.encodings import choose_encoder
from spanwell_collector.door.replying import refuse, reply
from spanwell_collector.store.guard import BAD_ARGUMENTS, KILL, DoorError
from spanwell_collector.store.guarded import GuardedEngine, Question, Statement, escape
from spanwell_collector.streaming import GoneError, ended_when_left

SLOTS: Final = 8  # statements at a time; one whose client reads slowly keeps its slot, and costs nothing else
WAIT_SECONDS: Final = 10.0
AUTHENTICATION_FAILED, ACCESS_DENIED, TOO_MANY = 516, 497, 202
KILLED: Final = """
SELECT 'finished' AS kill_status, {id:String} AS query_id, 'default' AS user, {query:String} AS query
FROM numbers({found:UInt8})
"""


class Door:
    """What the requests to the door share."""

    def __init__(self, engine: GuardedEngine, gate: Gate, version: str) -> None:
        self.engine = engine
        self.gate = gate
        self.version = version
        self.threads = ThreadPoolExecutor(3 * SLOTS, thread_name_prefix="door")  # one reads, one ends, one is spare
        self._slots = asyncio.Semaphore(SLOTS)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Run the block among the few that may; wait a while for that. Raises DoorError."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            message = f"Too many simultaneous queries. Maximum: {SLOTS} (TOO_MANY_SIMULTANEOUS_QUERIES)"
            raise DoorError(TOO_MANY, message) from None
        try:
            yield
        finally:
            self._slots.release()


def build_door(engine: GuardedEngine, *, version: str, gate: Gate) -> ASGIApp:
    """One ASGI application for the door's port."""
    door = Door(engine, gate, version)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if request.scope["path"] in OPEN_PATHS:
            await PlainTextResponse("Ok.\n")(scope, receive, send)
            return
        id = ""
        try:
            asker = _admit(request, gate)
            asked = await read_asked(request)
            id = asked.id
            await _answer(door, asked, asker, receive, send)
        except DoorError as error:
            await refuse(error, version, id)(scope, receive, send)
        except (ClientDisconnect, GoneError):
            return

    return application


def _admit(request: Request, gate: Gate) -> Identity:
    password = request.query_params.get("password", "")
    admitted = gate.admit(request.headers, "read", password=password, project="*")
    if isinstance(admitted, Refusal):
        code = AUTHENTICATION_FAILED if admitted.status == 401 else ACCESS_DENIED
        raise DoorError(code, f"{admitted.message} (as password)")
    path = request.scope["path"]
    if path not in ("", "/"):
        raise DoorError(BAD_ARGUMENTS, f"there is no {path} here: send a query to / (BAD_ARGUMENTS)")
    return admitted


async def _answer(door: Door, asked: Asked, asker: Identity, receive: Receive, send: Send) -> None:
    order = KILL.fullmatch(asked.question.sql)
    if order:  # without waiting for a slot: it is what frees one
        question = await _kill(door, order[1], asker, format=order[2] or asked.question.format)
        await _run(door, asked._replace(question=question), asker, receive, send)
        return
    async with door.slot():
        await _run(door, asked, asker, receive, send)


async def _run(door: Door, asked: Asked, asker: Identity, receive: Receive, send: Send) -> None:
    statement = door.engine.start(asked.question, asked.id, asker.id)
    async with ended_when_left(statement, receive, door.threads):
        await reply(statement, choose_encoder(asked.accepted), send, door.threads, door.version)


async def _kill(door: Door, id: str, asker: Identity, *, format: str) -> Question:
    """End a statement, and ask what ClickHouse answers then. An administrator's word ends anybody's."""
    found = [one for one in door.engine.list_running() if one.id == id and _may_end(asker, one)]
    for statement in found:
        await asyncio.get_running_loop().run_in_executor(door.threads, statement.abandon)
    parameters = {"id": id, "query": escape(found[0].sql) if found else "", "found": str(len(found))}
    return Question(KILLED, format, parameters, {}, "")


def _may_end(asker: Identity, statement: Statement) -> bool:
    return asker.role == "admin" or statement.owner == asker.id
