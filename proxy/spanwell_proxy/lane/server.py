"""The LiteLLM lane's process: takes errands from the hot lane on a unix socket, runs them, and leaves when it is told.

`spanwell_proxy.lane.keeper` starts it with two descriptors: the listening socket, and a pipe by which it says that it
is ready, that it lives, and that it should be replaced. One connection is one errand, so a process that stops accepting
and waits for its last connection has failed nobody.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import openai
import orjson
import uvicorn
import uvloop

from spanwell_proxy.errand import Errand, read_errand
from spanwell_proxy.failures import ApiError
from spanwell_proxy.lane.refusals import DEEPEST_FRAMES, error_event, refuse
from spanwell_proxy.lane.translator import MALFORMED, Reply, translate
from spanwell_proxy.orphans import end_with_parent

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_CALLS = 1000  # at a time: each holds some 100 KB
MOST_THREADS = 256  # LiteLLM prepares calls in threads, and for some providers waits in them
BEAT_S = 1.0
POLL_S = 0.05
ALIVE, WORN = b".", b"w"  # what is said on the pipe; the first byte means ready
TRACE = ("traceparent", "tracestate", "x-request-id")
JSON = (b"content-type", b"application/json")


class Lane:
    """One process's errands, counted. It is worn after `most_calls`, or when it holds `most_bytes` of memory."""

    def __init__(self, most_calls: int, most_bytes: int) -> None:
        self.most_calls = most_calls
        self.most_bytes = most_bytes
        self.running = 0
        self.served = 0
        self.started = time.monotonic()

    async def app(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """`Errand` in, the API's own answer out; GET tells how the process is."""
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await _send_whole(send, 200, orjson.dumps(self.health()), [JSON])
        elif self.running >= MOST_CALLS:
            busy = ApiError(503, "lane_busy", "too many calls are being translated", retry_after_s=1.0)
            await _send_refusal(send, busy)
        else:
            self.running += 1
            try:
                await _run(scope, receive, send)
            finally:
                self.running -= 1
                self.served += 1

    def health(self) -> dict[str, float]:
        uptime_s = round(time.monotonic() - self.started, 3)
        return {"calls": self.running, "served": self.served, "rss_bytes": resident_bytes(), "uptime_s": uptime_s}

    def is_worn(self) -> bool:
        """Whether it is time for a fresh process."""
        return self.served >= self.most_calls or resident_bytes() > self.most_bytes


def resident_bytes() -> int:
    """Memory of this process, as Linux tells; 0 where it does not."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _run(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Run an errand for as long as the hot lane waits for it."""
    errand = read_errand(scope["path"], await _read_body(receive))
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    running = asyncio.create_task(_answer(errand, {name: headers[name] for name in TRACE if name in headers}, send))
    leaving = asyncio.create_task(_await_departure(receive))
    await asyncio.wait((running, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    running.cancel()
    await asyncio.gather(running, leaving, return_exceptions=True)
    if not running.cancelled():
        running.result()


async def _answer(errand: Errand, trace: Mapping[str, str], send: Send) -> None:
    try:
        reply = await translate(errand, trace)
        if isinstance(reply.body, bytes):
            await _send_whole(send, 200, reply.body, [(b"content-type", reply.content_type)])
        else:
            async with aclosing(reply.body) as parts:  # type: ignore[type-var]
                await _stream(errand, parts, reply, send)
    except (openai.OpenAIError, ApiError) as error:
        await _send_refusal(send, refuse(error, errand.params))
    except MALFORMED as error:
        _note_unreadable(error)
        await _send_refusal(send, ApiError(502, "upstream_unreadable", "the backend's answer cannot be translated"))


async def _stream(errand: Errand, parts: AsyncIterator[bytes], reply: Reply, send: Send) -> None:
    """The head goes when the first part is there: until then a failure has a status of its own."""
    part = await anext(parts, b"")
    await _begin(send, 200, [(b"content-type", reply.content_type)])
    try:
        while part:
            await _send_part(send, part)
            part = await anext(parts, b"")
    except (openai.OpenAIError, ApiError) as error:
        part = error_event(errand.path, refuse(error, errand.params))
    except MALFORMED as error:
        _note_unreadable(error)
        part = error_event(
            errand.path, ApiError(502, "upstream_unreadable", "the backend's stream cannot be translated")
        )
    await _send_part(send, part, last=True)


def _note_unreadable(error: Exception) -> None:
    """What failed, and where; not at what, which is the words of an answer."""
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_FRAMES:]
    where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    logger.error("an answer could not be translated: %s at %s", type(error).__name__, where)


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    parts: list[bytes] = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _await_departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_refusal(send: Send, error: ApiError) -> None:
    wait = [] if error.retry_after_s is None else [(b"retry-after", b"%g" % error.retry_after_s)]
    await _send_whole(send, error.status, error.to_json(), [JSON, *wait])


async def _send_whole(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await _begin(send, status, [*headers, (b"content-length", b"%d" % len(body))])
    await _send_part(send, body, last=True)


async def _begin(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})


async def _send_part(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


async def _serve(lane: Lane, listener: socket.socket, pipe: int, parent: int) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_THREADS))
    config = uvicorn.Config(
        lane.app,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(POLL_S)
    leaving = asyncio.Event()
    serving.add_done_callback(lambda _: leaving.set())  # told to end before it is we who listen to that
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, leaving.set)
    jobs = [asyncio.create_task(job) for job in (end_with_parent(parent), _beat(lane, pipe))]
    if server.started:
        await leaving.wait()
    # uvicorn itself would hang up on connections whose request has not come yet.
    for accepting in server.servers:
        accepting.close()
    while server.server_state.connections:  # noqa: ASYNC110 nor for this
        await asyncio.sleep(POLL_S)
    server.should_exit = True
    await serving
    for job in jobs:
        job.cancel()
    os._exit(0)  # a thread may still wait for a provider whose caller has left: LiteLLM calls some without asyncio


async def _beat(lane: Lane, pipe: int) -> None:
    while True:
        os.write(pipe, WORN if lane.is_worn() else ALIVE)
        await asyncio.sleep(BEAT_S)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s lane %(levelname)s %(message)s", stream=sys.stderr)
    descriptor, pipe, parent, *worn_at = map(int, sys.argv[1:])
    with socket.socket(fileno=descriptor) as listener:
        listener.setblocking(False)
        uvloop.run(_serve(Lane(*worn_at), listener, pipe, parent))


if __name__ == "__main__":
    main()
