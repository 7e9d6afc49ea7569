"""When a segment is handed on."""

import pytest

from spanwell_collector.ingest.flush import SEGMENT_BYTES, SEGMENT_SPANS, Inserted, choose_seal_time, is_full

FLUSH_SECONDS = 0.4


@pytest.mark.parametrize(
    ("size_bytes", "items", "expected"),
    [(1, 1, False), (SEGMENT_BYTES, 1, True), (1, SEGMENT_SPANS, True), (SEGMENT_BYTES - 1, SEGMENT_SPANS - 1, False)],
)
def test_a_segment_is_full_by_bytes_or_by_spans(size_bytes: int, items: int, expected: bool) -> None:
    assert is_full(size_bytes, items) is expected


def test_after_an_idle_time_a_span_waits_no_longer_than_the_flush_time() -> None:
    assert choose_seal_time(100.0, FLUSH_SECONDS, Inserted(at=50.0, seconds=0.1)) == 100.4


def test_under_load_inserts_take_a_twentieth_of_the_time() -> None:
    last = Inserted(at=100.0, seconds=0.05)

    assert choose_seal_time(100.0, FLUSH_SECONDS, last) == pytest.approx(100.0 + 0.05 * 20)


def test_nothing_waits_longer_than_three_flush_times() -> None:
    assert choose_seal_time(100.0, FLUSH_SECONDS, Inserted(at=100.0, seconds=3.0)) == 101.2
