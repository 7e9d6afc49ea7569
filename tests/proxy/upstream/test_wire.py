import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from spanwell_proxy.upstream.wire import Request, Wire, write_head

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
SIZED = HEAD + b"content-length: 5\r\n\r\nhello"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that gives one answer a request, and closes where one is empty; with the connections it saw."""
    waiting, connections = list(answers), [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[0] += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while waiting and await reader.readuntil(b"ping"):
                if not (answer := waiting.pop(0)):
                    break
                writer.write(answer)
                if b"content-length" not in answer and b"chunked" not in answer:
                    break
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
        await asyncio.sleep(0.01)  # so that what was closed is gone


def ping(base: str) -> Request:
    return Request(base, write_head(base, "/", {"x": "y"}), b"ping")


async def ask(wire: Wire, base: str) -> bytes:
    connection = await wire.send(ping(base))
    try:
        return await connection.read()
    finally:
        connection.close()


async def test_a_connection_is_used_again() -> None:
    wire = Wire()
    async with answering(SIZED, SIZED) as (base, connections):
        answers = [await ask(wire, base), await ask(wire, base)]
        wire.close()

    assert answers == [b"hello", b"hello"]
    assert connections == [1]


async def test_a_process_of_ours_that_is_about_to_listen_is_waited_for(tmp_path: Path) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SIZED)
        writer.close()

    wire, path = Wire(), str(tmp_path / "lane.sock")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)  # as one that was killed leaves it: nobody listens
    asking = asyncio.create_task(ask(wire, "unix:" + path))
    await asyncio.sleep(0.2)
    async with await asyncio.start_unix_server(serve, path):
        answer = await asyncio.wait_for(asking, 2.0)

    assert answer == b"hello"


async def test_a_connection_that_is_closed_twice_serves_one_call_at_a_time() -> None:
    wire = Wire()
    async with answering(SIZED, SIZED, SIZED) as (base, connections):
        first = await wire.send(ping(base))
        await first.read()
        first.close()
        first.close()
        both = await asyncio.wait_for(asyncio.gather(ask(wire, base), ask(wire, base)), 2.0)
        wire.close()

    assert list(both) == [b"hello", b"hello"]
    assert connections == [2]


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    wire = Wire()
    async with answering(SIZED, b"", SIZED) as (base, connections):
        answers = [await ask(wire, base), await ask(wire, base)]
        wire.close()

    assert answers == [b"hello", b"hello"]
    assert connections == [2]


async def test_a_request_that_was_worked_at_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwell_proxy.upstream.wire.STALE_S", -1.0)
    wire = Wire()
    async with answering(SIZED, b"", SIZED) as (base, connections):
        await ask(wire, base)
        with pytest.raises(OSError):  # noqa: PT011 - any of its kinds
            await ask(wire, base)
        wire.close()

    assert connections == [1]


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"\r\nhello",  # without a length: ends with its connection
        b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED,
    ],
)
async def test_every_framing_is_understood(answer: bytes) -> None:
    wire = Wire()
    async with answering(answer) as (base, _):
        got = await ask(wire, base)
        wire.close()

    assert got == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"SMTP ready\r\n\r\n",
        HEAD + b"content-length: 50\r\n\r\nshort",
        HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_whole_answer_is_an_error(answer: bytes) -> None:
    wire = Wire()
    async with answering(answer) as (base, _):
        with pytest.raises(OSError):  # noqa: PT011 - any of its kinds
            await asyncio.wait_for(ask(wire, base), 2)
        wire.close()


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - any of its kinds
        await ask(Wire(), "http://127.0.0.1:1")


async def test_a_reader_that_is_slow_slows_the_backend_down() -> None:
    wire, size = Wire(), 8 * 1024 * 1024
    async with answering(HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size) as (base, _):
        connection = await wire.send(ping(base))
        await asyncio.sleep(0.2)
        held = len(await connection.read_some())
        rest = len(await connection.read())
        connection.close()
        wire.close()

    assert held < size // 4
    assert held + rest == size
