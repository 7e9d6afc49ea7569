"""The room that all requests share."""

import asyncio
import gzip

import pytest

from spanwell_collector.receivers import intake
from spanwell_collector.receivers.intake import Room, arriving
from spanwell_collector.receivers.refusals import JSON, PROTOBUF, UNAVAILABLE, RefusedError, respond
from spanwell_collector.receivers.signals import SIGNALS
from tests.collector.batches import SpanIn, make_batch

BODY = make_batch(
    [SpanIn(trace=index + 1, attributes={"text": "x" * 400}) for index in range(4000)]
).SerializeToString()


def test_who_finds_no_room_is_told_to_come_again() -> None:
    room = Room(max_bytes=10)
    room.enter(8)

    with pytest.raises(RefusedError) as caught:
        room.enter(3)
    room.leave(8)
    room.enter(10)

    reply = respond(caught.value, PROTOBUF)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")
    assert caught.value.code == UNAVAILABLE


@pytest.mark.parametrize(("body", "compression"), [(BODY, ""), (gzip.compress(BODY), "gzip")])
async def test_a_large_request_is_read_whole(body: bytes, compression: str) -> None:
    accepted = await Room().read(SIGNALS[0], body, compression, PROTOBUF, "")

    assert accepted.items == 4000
    assert accepted.record[1:] == BODY


async def test_what_a_body_inflates_to_needs_room_too() -> None:
    room = Room(max_bytes=len(BODY) - 1)

    with pytest.raises(RefusedError, match="too many"):
        await room.read(SIGNALS[0], gzip.compress(BODY), "gzip", PROTOBUF, "")
    room.enter(len(BODY) - 1)


async def test_a_request_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ARRIVAL_SECONDS", 0.01)

    with pytest.raises(RefusedError, match="did not arrive") as caught:
        async with arriving():
            await asyncio.sleep(5)

    assert caught.value.http_status == 408


def test_a_refusal_is_written_in_the_encoding_of_the_request() -> None:
    reply = respond(RefusedError(UNAVAILABLE, "the disk is full"), JSON)

    assert (reply.status_code, bytes(reply.body)) == (503, b'{"code":14,"message":"the disk is full"}')
