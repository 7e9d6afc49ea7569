"""Group commit: what is acknowledged is synced, what fails is not kept."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanwell.errors import SpoolFullError
from spanwell.spool import Segment, Spool
from spanwell_collector.ingest.journal import Journal
from tests.collector.conftest import poll


@pytest.fixture
def delivered() -> list[Segment]:
    return []


@pytest.fixture
def journal(tmp_path: Path, delivered: list[Segment]) -> Iterator[Journal]:
    journal = Journal(Spool(tmp_path, max_bytes=10_000), flush_seconds=0.01, deliver=delivered.append)
    journal.start([])
    yield journal
    journal.seal()
    journal.close()


async def test_writers_that_wait_together_are_all_answered(journal: Journal, delivered: list[Segment]) -> None:
    await asyncio.gather(*(journal.write(b"batch %d" % number) for number in range(50)))
    journal.seal()

    payloads = [payload for segment in delivered for payload in segment.payloads()]
    assert sorted(payloads) == sorted(b"batch %d" % number for number in range(50))


async def test_the_same_payload_is_kept_once(journal: Journal, delivered: list[Segment]) -> None:
    await asyncio.gather(*(journal.write(b"same") for _ in range(3)))
    await journal.write(b"same")
    journal.seal()

    assert [segment.payloads() for segment in delivered] == [[b"same"]]


async def test_a_full_spool_refuses_and_takes_again_when_there_is_room(
    journal: Journal, delivered: list[Segment]
) -> None:
    await journal.write(b"a" * 8000)
    with pytest.raises(SpoolFullError, match="of 10000 bytes"):
        await journal.write(b"b" * 8000)
    await _until_delivered(delivered, 1)

    journal.forget(delivered[0])

    await journal.write(b"b" * 8000)


async def test_a_payload_the_disk_did_not_take_is_not_taken_for_accepted(
    journal: Journal, delivered: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    await journal.write(b"before")
    await _until_delivered(delivered, 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(SpoolFullError, match="Input/output error"):
            await journal.write(b"lost")
    await journal.write(b"lost")
    journal.seal()

    assert [payload for segment in delivered for payload in segment.payloads()] == [b"before", b"lost"]


def test_segments_of_an_earlier_process_come_first(tmp_path: Path, delivered: list[Segment]) -> None:
    spool = Spool(tmp_path, max_bytes=10_000)
    spool.append(b"left behind")
    spool.sync()
    journal = Journal(Spool(tmp_path, max_bytes=10_000), flush_seconds=0.01, deliver=delivered.append)

    journal.start([])
    journal.seal()

    assert [segment.payloads() for segment in delivered] == [[b"left behind"]]


async def test_a_segment_grows_while_the_writer_is_busy(journal: Journal, delivered: list[Segment]) -> None:
    await journal.write(b"first")
    await _until_delivered(delivered, 1)
    for record in (b"second", b"third"):
        await journal.write(record)
        await asyncio.sleep(0.05)
    waiting = len(delivered)

    journal.forget(delivered[0])
    await _until_delivered(delivered, 2)

    assert waiting == 1
    assert delivered[1].payloads() == [b"second", b"third"]


async def test_interval_durability_answers_first_and_syncs_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwell_collector.ingest.journal.SYNC_SECONDS", 0.05)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool = Spool(tmp_path, max_bytes=10_000)
    journal = Journal(spool, flush_seconds=60, deliver=lambda _segment: None, durability="interval")
    journal.start([])

    await journal.write(b"acknowledged")
    at_once = len(synced)  # of the directory, for the new file's name
    later = await asyncio.to_thread(poll, lambda: len(synced), lambda count: count > at_once)
    journal.seal()

    assert (at_once, later) == (1, 2)


async def _until_delivered(delivered: list[Segment], count: int) -> None:
    enough = await asyncio.to_thread(poll, lambda: len(delivered), lambda size: size >= count)
    assert enough == count
