"""What the writer does when the engine is away, and when it refuses."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from spanwell.errors import QueryError, StoreError
from spanwell.spool import Segment, Spool
from spanwell_collector import writer
from spanwell_collector.writer import Erase, Insert, Writer


def _segment(directory: Path, *payloads: bytes) -> Segment:
    spool = Spool(directory, max_bytes=10_000)
    for payload in payloads:
        spool.append(payload)
    segment = spool.seal()
    assert segment is not None
    return segment


def _keep(batches: Sequence[bytes]) -> None:
    """An erase where there is nothing to erase."""


def _write(
    insert: Insert, directory: Path, segments: list[Segment], erase: Erase = _keep, left: Sequence[Segment] = ()
) -> list[Segment]:
    """Run a writer until it has stored `segments`; those it says it has stored."""
    stored: list[Segment] = []
    finished = threading.Event()

    def note(segment: Segment) -> None:
        stored.append(segment)
        if len(stored) == len(segments):
            finished.set()

    running = Writer(insert, erase=erase, left=left, dead=directory / "dead", stored=note)
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

    assert [(batches, token.split(":")[0]) for batches, token in calls] == [([b"one", b"two"], segment.id)]
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

    assert [token.split(":")[0] for token in tokens] == [segments[0].id] * 4 + [segments[1].id]
    assert len(set(tokens)) == 2


def test_a_record_the_engine_refuses_is_put_aside_and_the_rest_is_stored(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"good", b"poison", b"also good")
    kept: dict[str, bytes] = {}

    def insert(batches: Sequence[bytes], token: str) -> None:
        if b"poison" in batches:
            raise QueryError("Code: 33. DB::Exception: Cannot read all data")
        kept[token] = b"".join(batches)

    stored = _write(insert, tmp_path, [segment])

    assert stored == [segment]
    assert list(kept.values()) == [b"good", b"also good"]
    assert [path.read_bytes() for path in (tmp_path / "dead").iterdir()] == [b"poison"]


def test_what_an_earlier_process_left_is_taken_out_before_it_is_put_in(tmp_path: Path) -> None:
    earlier, own = _segment(tmp_path / "1", b"earlier"), _segment(tmp_path / "2", b"own")
    calls: list[tuple[str, bytes]] = []

    _write(
        lambda batches, _token: calls.append(("insert", batches[0])),
        tmp_path,
        [earlier, own],
        erase=lambda batches: calls.append(("erase", batches[0])),
        left=[earlier],
    )

    assert calls == [("erase", b"earlier"), ("insert", b"earlier"), ("insert", b"own")]


def test_what_was_taken_out_goes_in_under_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE_SECONDS", 0.001)
    segment = _segment(tmp_path, b"one")
    tokens: list[str] = []

    def insert(batches: Sequence[bytes], token: str) -> None:
        tokens.append(token)
        if len(tokens) == 1:
            raise QueryError("Code: 241. DB::Exception: Memory limit exceeded")
        if len(tokens) == 2:
            raise StoreError("connection refused")

    _write(insert, tmp_path, [segment])

    assert len(set(tokens)) == 3


def test_a_stop_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    def insert(batches: Sequence[bytes], token: str) -> None:
        raise StoreError("connection refused")

    stored: list[Segment] = []
    running = Writer(insert, erase=_keep, left=[], dead=tmp_path / "dead", stored=stored.append)
    running.start()
    running.put(_segment(tmp_path, b"kept"))

    running.close()

    assert stored == []
    assert len(list(tmp_path.glob("*.spool"))) == 1
