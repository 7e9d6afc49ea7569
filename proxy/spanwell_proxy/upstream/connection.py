"""One HTTP/1.1 connection to a backend, and the answer that is on it, on asyncio's protocols and httptools.

What a backend must not do ends as OSError here; what its answer says is for others.
"""

import asyncio
import math
from typing import Final, cast

import httptools

from spanwell_proxy.gathering import Gathering

DRAIN_S = 1.0  # for what a backend still sends when all was said
MOST_IDLE = 256  # connections kept to one backend
LONGEST_HEAD_BYTES = 64 * 1024
LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
PAUSE_BYTES = 256 * 1024  # unread: a client that reads slowly slows the backend down
PIECE_BYTES = 256 * 1024  # of a body that is sent: what is larger would hold up the other calls
PLAIN = frozenset((b"", b"identity"))
NEVER: Final = math.inf


class Connection(asyncio.Protocol):
    """One connection, and the answer that is on it.

    Every wait ends with OSError when the connection breaks, and with TimeoutError at its time; it may be repeated then.
    """

    _left: bool
    _paused: bool

    def __init__(self, idle: list["Connection"]) -> None:
        self.status = 0
        self.idle_since = 0.0
        self.heard = False  # a byte of the present answer has come
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._transport: Gathering | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = NEVER
        self._lost: OSError | None = None
        self._writable = True
        self._begin()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class, of the same methods. Requests that leave together wake their backend once.
        self._transport = Gathering(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._fail("the backend spoke without being asked")
            return
        self.heard = True
        self._unheaded_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            refused = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            self._fail(str(refused or "the backend does not speak HTTP/1.1"))
        if self._unheaded_bytes > LONGEST_HEAD_BYTES and not self._headed:
            self._fail("the backend's headers are too long")
        if self._left and self._done:
            self._rest()
        self._wake()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy and self._headed and not self._framed and not exc:
            self._done = True  # an answer without a length ends with its connection
        self._lost = self._lost or ConnectionResetError("the connection was closed")
        if self in self._idle:
            self._idle.remove(self)
        if self._timer:
            self._timer.cancel()
        self._wake()

    # --- what httptools calls: what is raised here ends the connection

    def on_message_begin(self) -> None:
        if self._done:
            raise ConnectionAbortedError("the backend sent a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > LONGEST_HEAD_BYTES:
            raise ConnectionAbortedError("the backend's headers are too long")
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # 100 Continue is no answer
            self._headers.clear()
            return
        coding, framing = self._headers.get(b"transfer-encoding"), self._headers.get(b"content-length")
        if coding is not None and coding.lower() != b"chunked":
            raise ConnectionAbortedError("the backend's transfer-encoding is not chunked")
        if self._headers.get(b"content-encoding", b"").lower() not in PLAIN:
            raise ConnectionAbortedError("the backend compressed its answer, though it was asked not to")
        self._framed = coding is not None or framing is not None
        self._headed = True

    def on_body(self, body: bytes) -> None:
        if self._left:
            return
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._limit and self._transport and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._headed:
            self._done = True
            self._lasting = self._framed and self._sent and self._parser.should_keep_alive()

    # --- what the relay calls

    async def request(self, head: bytes, body: bytes, until: float = NEVER) -> None:
        """Send, and wait for the status line and headers."""
        self._begin()
        self._busy = True
        if self._transport and not self._lost:
            if len(body) <= PIECE_BYTES:
                self._sent = True
                self._transport.write(head + body)
            else:
                await self._send(self._transport, head, memoryview(body), until)
        while not self._headed:
            await self._wait(until)

    def header(self, name: str) -> str:
        return self._headers.get(name.lower().encode(), b"").decode("latin-1")

    async def read(self, until: float = NEVER) -> bytes:
        self._limit = LONGEST_ANSWER_BYTES
        while not self._done:
            if self._size > LONGEST_ANSWER_BYTES:
                raise ConnectionAbortedError("the answer is too long")
            self._resume()
            await self._wait(until)
        return self._take()

    async def read_some(self, until: float = NEVER) -> bytes:
        """What has arrived; empty at the end."""
        while not self._parts and not self._done:
            self._resume()
            await self._wait(until)
        return self._take()

    def close(self) -> None:
        """Keep the connection for another call if this answer was read to its end, else close it. Once a call."""
        if not self._busy:  # kept already: twice in the list it would serve two calls at once
            return
        if self._done and not self._parts:
            self._rest()
        else:
            self.abort()

    def leave(self) -> None:
        """All was said: keep the connection if the backend ends the answer soon, whatever else it sends."""
        if self._done or self._lost:
            self._parts.clear()
            self.close()
            return
        self._left = True
        self._parts.clear()
        self._resume()
        self._loop.call_later(DRAIN_S, self._give_up, self._parser)

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._head_bytes = self._unheaded_bytes = self._size = 0
        self._limit = PAUSE_BYTES
        self.heard = False
        self._busy = False
        self._sent = False  # the request, to its end
        self._headed = False
        self._framed = False  # the answer says where it ends
        self._done = False
        self._lasting = False  # another request may follow
        self._left = False  # nobody reads the answer any more
        self._paused = False

    async def _send(self, transport: Gathering, head: bytes, body: memoryview, until: float) -> None:
        transport.write(head)
        for at in range(0, len(body), PIECE_BYTES):
            while not self._writable and not self._headed:
                await self._wait(until)
            if self._headed:  # refused before it was all sent
                return
            transport.write(body[at : at + PIECE_BYTES])
            await asyncio.sleep(0)
        self._sent = True

    def _take(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data

    def _resume(self) -> None:
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()

    async def _wait(self, until: float) -> None:
        if self._lost:
            raise self._lost
        self._waiter = self._loop.create_future()
        self._arm(until)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _arm(self, until: float) -> None:
        """One timer serves many waits: as long as it rings too early it is only set anew when it does."""
        self._until = until
        if until == NEVER or (self._timer and self._timer.when() <= until):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._until == NEVER:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._ring)
        else:
            self._waiter.set_exception(TimeoutError())

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _rest(self) -> None:
        """Wait for another call, if the backend leaves the connection open."""
        lasting = self._lasting and not self._lost and len(self._idle) < MOST_IDLE
        self._busy = False
        if lasting:
            self.idle_since = self._loop.time()
            self._idle.append(self)
        else:
            self.abort()

    def _give_up(self, parser: object) -> None:
        if self._parser is parser and self._busy:
            self.abort()

    def _fail(self, why: str) -> None:
        self._lost = self._lost or ConnectionAbortedError(why)
        self.abort()
