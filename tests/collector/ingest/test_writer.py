"""What the writer does when the engine is away, and when it refuses."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spanwell.errors import QueryError, StoreError
from spanwell.spool import HEADER, Segment, Spool
from spanwell_collector import telemetry
from spanwell_collector.ingest import writer
from spanwell_collector.ingest.ledger import LedgerRow
from spanwell_collector.ingest.writer import Writer
from tests.collector.batches import SpanIn, make_batch

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def _refuse_nothing(records: Sequence[bytes]) -> None:
    """The engine takes everything."""


@dataclass
class Engine:
    """What an engine holds, by token; `check` raises what it would."""

    check: Callable[[Sequence[bytes]], None] = _refuse_nothing
    calls: list[tuple[str, str]] = field(default_factory=list)
    held: dict[str, list[bytes]] = field(default_factory=dict)
    noted: dict[str, list[LedgerRow]] = field(default_factory=dict)
    buried: dict[bytes, str] = field(default_factory=dict)

    def insert(self, records: Sequence[bytes], token: str) -> list[LedgerRow]:
        self.calls.append(("insert", token))
        self.check(records)
        self.held[token] = list(records)
        return [row for record in records for row in self.count(record)]

    def count(self, record: bytes) -> list[LedgerRow]:
        spans = record.count(b"chat small")
        return [LedgerRow(NOW, 1, "default", "app-1", "", 0, 0, spans, 0, 0, NOW)]

    def note(self, rows: Sequence[LedgerRow], token: str) -> None:
        self.noted[token] = list(rows)

    def erase(self, records: Sequence[bytes]) -> None:
        self.calls.append(("erase", b"".join(records).decode("latin-1")))

    def bury(self, record: bytes, reason: str) -> None:
        self.buried[record] = reason


def _segment(directory: Path, *records: bytes) -> Segment:
    spool = Spool(directory, max_bytes=10_000)
    for record in records:
        spool.append(record)
    segment = spool.seal()
    assert segment is not None
    return segment


def _write(engine: Engine, segments: list[Segment], left: Sequence[Segment] = ()) -> list[Segment]:
    """Run a writer until it has stored `segments`; those it says it has stored."""
    stored: list[Segment] = []
    finished = threading.Event()

    def note(segment: Segment, _seconds: float) -> None:
        stored.append(segment)
        if len(stored) == len(segments):
            finished.set()

    running = Writer(engine, left=left, stored=note)
    running.start()
    for segment in segments:
        running.put(segment)
    finished.wait(5)
    running.close()
    return stored


def _tokens(engine: Engine) -> list[str]:
    return [told for call, told in engine.calls if call == "insert"]


def test_a_segment_is_one_insert_with_its_id_in_the_token(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"one", b"two")
    engine = Engine()

    stored = _write(engine, [segment])

    assert [(token.split(":")[0], held) for token, held in engine.held.items()] == [(segment.id, [b"one", b"two"])]
    assert stored == [segment]


def test_a_store_that_is_away_is_asked_again_and_order_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE_SECONDS", 0.001)
    segments = [_segment(tmp_path / name, name.encode()) for name in ("first", "second")]
    answers = iter([StoreError("connection refused")] * 3)

    def be_away(records: Sequence[bytes]) -> None:
        for error in answers:
            raise error

    engine = Engine(be_away)
    _write(engine, segments)

    assert [token.split(":")[0] for token in _tokens(engine)] == [segments[0].id] * 4 + [segments[1].id]
    assert len(set(_tokens(engine))) == 2


def _refuse_poison(records: Sequence[bytes]) -> None:
    if any(b"poison" in record for record in records):
        raise QueryError("Code: 33. DB::Exception: Cannot read all data")


def test_a_record_the_engine_refuses_is_buried_and_the_rest_is_stored(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"\x02good", b"\x02poison", b"\x02also good")
    engine = Engine(_refuse_poison)

    stored = _write(engine, [segment])

    assert stored == [segment]
    assert [record for held in engine.held.values() for record in held] == [b"\x02good", b"\x02also good"]
    assert list(engine.buried) == [b"\x02poison"]


def test_only_the_span_at_fault_is_buried_and_the_ledger_says_so(tmp_path: Path) -> None:
    spans = [SpanIn(span=number, name="poison chat small" if number == 3 else "chat small") for number in range(1, 8)]
    segment = _segment(tmp_path, b"\x01" + make_batch(spans).SerializeToString())
    engine = Engine(_refuse_poison)

    _write(engine, [segment])

    assert sum(record.count(b"chat small") for held in engine.held.values() for record in held) == 6
    assert [record.count(b"poison") for record in engine.buried] == [1]
    assert [(row.stored, row.rejected) for rows in engine.noted.values() for row in rows] == [(6, 1)]


def test_what_an_earlier_process_left_is_taken_out_before_it_is_put_in(tmp_path: Path) -> None:
    earlier, own = _segment(tmp_path / "1", b"earlier"), _segment(tmp_path / "2", b"own")
    engine = Engine()

    _write(engine, [earlier, own], left=[earlier])

    assert [call for call, _ in engine.calls] == ["erase", "insert", "insert"]
    assert engine.calls[0] == ("erase", "earlier")


def test_what_was_taken_out_goes_in_under_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE_SECONDS", 0.001)
    errors = iter([QueryError("Code: 241. DB::Exception: Memory limit exceeded"), None, StoreError("refused")])

    def fail(records: Sequence[bytes]) -> None:
        if error := next(errors, None):
            raise error

    engine = Engine(fail)
    _write(engine, [_segment(tmp_path, b"\x02one", b"\x02two")])

    assert [call for call, _ in engine.calls] == ["insert", "erase", "insert", "insert", "erase", "insert"]
    assert len(set(_tokens(engine))) == 4


def test_a_file_that_an_insert_misses_does_not_cost_the_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE_SECONDS", 0.001)
    errors = iter([FileNotFoundError(2, "No such file or directory", "scratch/tmp1")])

    def miss(records: Sequence[bytes]) -> None:
        for error in errors:
            raise error

    engine = Engine(miss)
    _write(engine, [_segment(tmp_path, b"one")])

    assert list(engine.held.values()) == [[b"one"]]


def test_a_segment_that_somebody_has_removed_holds_up_nothing(tmp_path: Path) -> None:
    gone, there = _segment(tmp_path / "1", b"gone"), _segment(tmp_path / "2", b"there")
    gone.path.unlink()
    engine = Engine()

    _write(engine, [gone, there])

    assert list(engine.held.values()) == [[b"there"]]


def test_what_was_damaged_while_it_waited_is_counted_and_kept_aside(tmp_path: Path) -> None:
    segment = _segment(tmp_path, b"one", b"two", b"three")
    data = bytearray(segment.path.read_bytes())
    data[data.index(b"two")] ^= 1
    segment.path.write_bytes(data)
    before = telemetry.DAMAGED_BYTES._value.get()
    engine = Engine()

    _write(engine, [segment])

    assert list(engine.held.values()) == [[b"one", b"three"]]
    assert telemetry.DAMAGED_BYTES._value.get() - before == HEADER.size + 3
    assert [path.read_bytes()[-2:] for path in tmp_path.glob("*.damaged")] == [b"wo"]


def test_a_stop_begins_no_more_inserts_than_there_is_time_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.0)
    segments = [_segment(tmp_path / str(number), b"waits") for number in range(3)]
    begun, go_on = threading.Event(), threading.Event()

    def be_slow(records: Sequence[bytes]) -> None:
        begun.set()
        go_on.wait(5)

    stored: list[Segment] = []
    running = Writer(Engine(be_slow), left=[], stored=lambda segment, _seconds: stored.append(segment))
    running.start()
    for segment in segments:
        running.put(segment)
    begun.wait(5)
    threading.Timer(0.1, go_on.set).start()
    running.close()

    assert stored == segments[:1]


def test_a_stop_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    def be_away(records: Sequence[bytes]) -> None:
        raise StoreError("connection refused")

    stored: list[Segment] = []
    running = Writer(Engine(be_away), left=[], stored=lambda segment, _seconds: stored.append(segment))
    running.start()
    running.put(_segment(tmp_path, b"kept"))

    running.close()

    assert stored == []
    assert len(list(tmp_path.glob("*.spool"))) == 1
