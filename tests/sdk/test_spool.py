"""The queue on disk, and what is left of it after a crash."""

import os
import resource
from pathlib import Path

import pytest

from spanwell.errors import SpoolFullError
from spanwell.spool import HEADER, Spool

PAYLOADS = [b"first", b"2", b"third " * 100]


def _filled(directory: Path) -> Spool:
    spool = Spool(directory, max_bytes=100_000)
    for payload in PAYLOADS:
        spool.append(payload)
    return spool


def test_records_come_back_in_order(tmp_path: Path) -> None:
    segment = _filled(tmp_path).seal()

    assert segment is not None
    assert segment.payloads() == PAYLOADS


def test_a_sealed_segment_stays_until_it_is_removed(tmp_path: Path) -> None:
    spool = _filled(tmp_path)
    segment = spool.seal()
    assert segment is not None

    waiting = spool.sealed()
    spool.remove(segment)

    assert waiting == [segment]
    assert (spool.sealed(), spool.size_bytes, list(tmp_path.iterdir())) == ([], 0, [])


def test_nothing_appended_is_nothing_sealed(tmp_path: Path) -> None:
    assert Spool(tmp_path, max_bytes=100).seal() is None


def test_segments_are_ordered_by_age_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=100_000)
    for number in range(5):
        spool.append(b"%d" % number)
        spool.seal()

    again = Spool(tmp_path, max_bytes=100_000)

    assert [segment.payloads() for segment in again.sealed()] == [[b"%d" % number] for number in range(5)]
    assert [segment.id for segment in again.sealed()] == [segment.id for segment in spool.sealed()]


def test_a_torn_tail_is_cut_off_wherever_it_is_torn(tmp_path: Path) -> None:
    segment = _filled(tmp_path / "whole").seal()
    assert segment is not None
    whole = segment.path.read_bytes()
    last = len(whole) - HEADER.size - len(PAYLOADS[2])

    for size in range(last + 1, len(whole)):
        torn = tmp_path / f"torn-{size}"
        torn.mkdir()
        (torn / "1.spool").write_bytes(whole[:size])
        recovered = Spool(torn, max_bytes=100_000)

        assert recovered.sealed()[0].payloads() == PAYLOADS[:2]
        assert recovered.torn_bytes == size - last


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_damaged_record_is_passed_over_and_kept_aside(tmp_path: Path) -> None:
    segment = _filled(tmp_path).seal()
    assert segment is not None
    second = HEADER.size + len(PAYLOADS[0])
    _flip(segment.path, second + HEADER.size)

    spool = Spool(tmp_path, max_bytes=100_000)

    assert spool.sealed()[0].payloads() == [PAYLOADS[0], PAYLOADS[2]]
    assert (spool.damaged_bytes, spool.torn_bytes) == (HEADER.size + 1, 0)
    assert [len(path.read_bytes()) for path in tmp_path.glob("*.damaged")] == [HEADER.size + 1]


def test_a_damaged_length_ends_the_segment_and_the_rest_is_kept_aside(tmp_path: Path) -> None:
    segment = _filled(tmp_path).seal()
    assert segment is not None
    rest = segment.size_bytes - HEADER.size - len(PAYLOADS[0])
    for byte in range(2):
        _flip(segment.path, HEADER.size + len(PAYLOADS[0]) + byte)

    spool = Spool(tmp_path, max_bytes=100_000)

    assert spool.sealed()[0].payloads() == PAYLOADS[:1]
    assert spool.torn_bytes == rest
    assert [len(path.read_bytes()) for path in tmp_path.glob("*.damaged")] == [rest]


def test_a_flipped_bit_costs_one_record_at_most_and_none_in_a_header(tmp_path: Path) -> None:
    segment = _filled(tmp_path / "whole").seal()
    assert segment is not None
    whole = segment.path.read_bytes()
    starts = [sum(HEADER.size + len(payload) for payload in PAYLOADS[:number]) for number in range(3)]

    for position in range(len(whole)):
        damaged = tmp_path / f"damaged-{position}"
        damaged.mkdir()
        (damaged / "1.spool").write_bytes(whole)
        _flip(damaged / "1.spool", position)
        kept = [payload for left in Spool(damaged, max_bytes=100_000).sealed() for payload in left.payloads()]

        hit = max(number for number, start in enumerate(starts) if start <= position)
        in_header = position < starts[hit] + HEADER.size
        assert kept == [payload for number, payload in enumerate(PAYLOADS) if in_header or number != hit]


def test_zeros_that_a_power_cut_left_are_no_records(tmp_path: Path) -> None:
    segment = _filled(tmp_path).seal()
    assert segment is not None
    with segment.path.open("ab") as file:
        file.write(bytes(4096))

    spool = Spool(tmp_path, max_bytes=100_000)

    assert spool.sealed()[0].payloads() == PAYLOADS
    assert spool.torn_bytes == 4096
    assert list(tmp_path.glob("*.damaged")) == []


def test_a_segment_without_a_whole_record_is_removed(tmp_path: Path) -> None:
    (tmp_path / "1.spool").write_bytes(b"\x05\x00")

    assert Spool(tmp_path, max_bytes=100).sealed() == []
    assert list(tmp_path.iterdir()) == []


def test_the_bound_holds_over_open_and_sealed_segments(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=2 * (HEADER.size + 10))
    spool.append(bytes(10))
    spool.seal()
    spool.append(bytes(10))

    with pytest.raises(SpoolFullError, match="holds 36 of 36 bytes"):
        spool.append(b"x")


def test_a_name_that_the_disk_did_not_take_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path, max_bytes=1000)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(SpoolFullError, match="cannot write"):
            spool.append(b"lost")
    left = list(tmp_path.iterdir())
    spool.append(b"kept")

    assert left == []
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_kept_aside_is_for_its_owner_alone(tmp_path: Path) -> None:
    segment = _filled(tmp_path).seal()
    assert segment is not None
    _flip(segment.path, HEADER.size)

    Spool(tmp_path, max_bytes=100_000)

    assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("*.damaged")] == [0o600]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10_000_000)
    spool.append(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(SpoolFullError, match="cannot write"):
            spool.append(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    spool.append(b"after")
    segment = spool.seal()

    assert segment is not None
    assert segment.payloads() == [b"before", b"after"]


def test_a_failed_sync_forgets_what_it_was_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path, max_bytes=10_000)
    spool.append(b"synced")
    spool.sync()
    spool.append(b"lost")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SpoolFullError, match="cannot sync"):
        spool.sync()
    monkeypatch.undo()
    segment = spool.seal()

    assert segment is not None
    assert segment.payloads() == [b"synced"]
