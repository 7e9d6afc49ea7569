"""Spans of any shape become rows: each exactly once."""

from hypothesis import given
from hypothesis import strategies as st

from spanwell_dashboard.tree import Row, Span, arrange
from spanwell_dashboard.waterfall import payload


def span(span_id: str, parent: str = "", start_ms: float = 0.0, name: str = "") -> Span:
    return Span(span_id, parent, name or span_id, "chat", "ok", start_ms, 10.0)


def shape(rows: list[Row]) -> list[tuple[str, int, int]]:
    return [(row.span.span_id, row.depth, row.size) for row in rows]


def test_children_follow_their_parent_in_order_of_time() -> None:
    rows = arrange([span("c", "a", 5), span("a"), span("b", "a", 2), span("d", "b", 3)])

    assert shape(rows) == [("a", 0, 4), ("b", 1, 2), ("d", 2, 1), ("c", 1, 1)]


def test_an_orphan_stands_at_the_top_and_says_so() -> None:
    rows = arrange([span("a"), span("b", "gone", 1)])

    assert shape(rows) == [("a", 0, 1), ("b", 0, 1)]
    assert [row.orphan for row in rows] == [False, True]


def test_a_cycle_is_cut_at_its_earliest_span() -> None:
    rows = arrange([span("a", "b", 1), span("b", "a", 2), span("self", "self", 3)])

    assert shape(rows) == [("self", 0, 1), ("a", 0, 2), ("b", 1, 1)]


def test_spans_that_share_an_id_are_all_shown() -> None:
    rows = arrange([span("a"), span("a", start_ms=1), span("b", "a", 2)])

    assert shape(rows) == [("a", 0, 2), ("b", 1, 1), ("a", 0, 1)]


def test_a_trace_deeper_than_the_stack_is_arranged() -> None:
    rows = arrange([span(str(n), str(n - 1) if n else "", n) for n in range(5_000)])

    assert rows[-1].depth == 4_999
    assert rows[0].size == 5_000


IDS = st.integers(0, 8).map(str)


@given(st.lists(st.builds(span, IDS, st.one_of(st.just(""), IDS), st.floats(0, 9)), max_size=20))
def test_every_span_is_shown_exactly_once(spans: list[Span]) -> None:
    rows = arrange(spans)

    assert sorted(row.span for row in rows) == sorted(spans)
    assert sum(row.size for row in rows if row.depth == 0) == len(spans)


def test_the_browser_gets_times_from_the_start_of_the_trace() -> None:
    drawn = payload(arrange([span("a", start_ms=1000), span("b", "a", 1005)]), "b", 600)

    assert [row[4] for row in drawn["rows"]] == [0, 5]
    assert drawn["total"] == 15
    assert drawn["selected"] == "b"
