"""What the writer does when the engine is away, and when it refuses."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spanwell.errors import QueryError, StoreError
from spanwell.spool import Segment, Spool
from spanwell_collector import writer
from spanwell_collector.writer import Writer

Insert = Callable[[Sequence[bytes], str], None]


def _segment(directory: Path, *payloads: bytes) -> Segment:
    spool = Spool(directory, max_bytes=10_000)
    for payload in payloads:
        spool.append(payload)
    segment = spool.seal()
    assert segment is not None
    return segment


def _write(insert: Insert, directory: Path, segments: list[Segment]) -> list[Segment]:
    """Run a writer until it has stored `segments`; those it says it has stored."""
    stored: list[Segment] = []
    finished = threading.Event()

    def note(segment: Segment) -> None:
        stored.append(segment)
        if len(stored) == len(segments):
            finished.set()

    running = Writer(insert, dead=directory / "dead", stored=note)
    running.start()
    for segment in segments:
        running.put(segment)
    finished.wait(5)
    running.close()
    return stored


def test_a_segment_is_one_insert_with_its_id_as_token(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"one", b"two")
    calls = []

    stored = _write(lambda batches, token: calls.append((list(batches), token)), tmp_path, [segment])

    assert calls == [([b"one", b"two"], segment.id)]
    assert stored == [segment]


def test_a_store_that_is_away_is_asked_again_and_order_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE_SECONDS", 0.001)
    segments = [_segment(tmp_path / name, name.encode()) for name in ("first", "second")]
    tokens: list[str] = []

    def insert(batches: Sequence[bytes], token: str) -> None:
        tokens.append(token)
        if len(tokens) < 4:
            raise StoreError("connection refused")

    _write(insert, tmp_path, segments)

    assert tokens == [segments[0].id] * 4 + [segments[1].id]


def test_a_record_the_engine_refuses_is_put_aside_and_the_rest_is_stored(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"good", b"poison", b"also good")
    kept: dict[str, bytes] = {}

    def insert(batches: Sequence[bytes], token: str) -> None:
        if b"poison" in batches:
            raise QueryError("Code: 33. DB::Exception: Cannot read all data")
        kept[token] = b"".join(batches)

    stored = _write(insert, tmp_path, [segment])

    assert stored == [segment]
    assert kept == {f"{segment.id}:0": b"good", f"{segment.id}:2": b"also good"}
    assert [path.read_bytes() for path in (tmp_path / "dead").iterdir()] == [b"poison"]


def test_a_stop_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    def insert(batches: Sequence[bytes], token: str) -> None:
        raise StoreError("connection refused")

    stored: list[Segment] = []
    running = Writer(insert, dead=tmp_path / "dead", stored=stored.append)
    running.start()
    running.put(_segment(tmp_path, b"kept"))

    running.close()

    assert stored == []
    assert len(list(tmp_path.glob("*.spool"))) == 1
