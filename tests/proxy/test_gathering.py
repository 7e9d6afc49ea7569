import asyncio
from typing import Any, cast

from spanwell_proxy.gathering import MOST_HELD_BYTES, Gathering


class Wire:
    """What a socket would have got, write by write."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.seen.append(data)

    def close(self) -> None:
        self.seen.append(b"closed")

    def is_closing(self) -> bool:
        return self.seen[-1:] == [b"closed"]


def gather(wire: Wire) -> Any:
    return Gathering(cast(asyncio.Transport, wire))


async def test_head_and_body_leave_in_one_piece() -> None:
    wire = Wire()
    gathering = gather(wire)

    for said in (b"head", b"body"):
        gathering.write(said)
    await asyncio.sleep(0)
    gathering.write(b"next")
    await asyncio.sleep(0)

    assert wire.seen == [b"headbody", b"next"]


async def test_much_leaves_at_once_so_that_the_socket_can_say_when_it_is_too_much() -> None:
    wire, large = Wire(), b"x" * MOST_HELD_BYTES
    gathering = gather(wire)

    gathering.write(b"head")
    gathering.write(large)

    assert wire.seen == [b"head" + large]


async def test_what_was_said_goes_before_the_connection_is_closed() -> None:
    wire = Wire()
    gathering = gather(wire)

    gathering.write(b"last words")
    gathering.close()
    await asyncio.sleep(0)

    assert wire.seen == [b"last words", b"closed"]
    assert gathering.is_closing()
