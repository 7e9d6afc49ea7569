import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spanwell_proxy.telemetry.otlp import write_request
from spanwell_proxy.telemetry.outbox import Outbox, Target
from tests.proxy.backend import until
from tests.proxy.sink import Sink


@pytest.fixture
async def outbox(sink: Sink, tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "spool", Target(f"http://127.0.0.1:{sink.port}/v1/traces"), max_bytes=2**20)
    sending = asyncio.create_task(outbox.send())
    yield outbox
    await outbox.close(sending, 1.0)


def batch(number: int) -> bytes:
    return write_request({"number": number}, "a scope", ())


async def test_a_batch_is_sent_as_soon_as_it_is_kept(outbox: Outbox, sink: Sink) -> None:
    await outbox.append(batch(1))

    await until(lambda: sink.bodies == [batch(1)])
    await until(lambda: outbox.size_bytes == 0)


async def test_what_comes_while_others_are_sent_goes_together_afterwards(outbox: Outbox, sink: Sink) -> None:
    sink.status = 503
    for number in range(4):
        await outbox.append(batch(number))
    sink.status = 200

    await until(lambda: len(sink.bodies) == 2)
    assert sink.bodies == [batch(0), batch(1) + batch(2) + batch(3)]
    await until(lambda: outbox.size_bytes == 0)


async def test_what_is_sent_anew_is_what_was_kept(outbox: Outbox, sink: Sink, tmp_path: Path) -> None:
    sink.status = 503
    await outbox.append(batch(1))
    await until(lambda: sink.posts > 0)

    kept = b"".join(path.read_bytes() for path in (tmp_path / "spool").glob("*.spool"))
    sink.status = 200

    assert batch(1) in kept
    await until(lambda: sink.bodies == [batch(1)])


async def test_batches_go_in_their_order(outbox: Outbox, sink: Sink) -> None:
    for number in range(40):
        await outbox.append(batch(number))

    await until(lambda: outbox.size_bytes == 0)
    assert b"".join(sink.bodies) == b"".join(map(batch, range(40)))
