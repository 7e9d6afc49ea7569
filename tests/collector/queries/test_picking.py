"""Pages of traces against a list made by hand: nothing twice, nothing missing, whatever comes in meanwhile."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from spanwell.errors import QueryError
from spanwell_collector.queries import picking
from spanwell_collector.queries.selection import Filter, Selection
from spanwell_collector.queries.traces import TraceFilter, list_traces
from spanwell_collector.registry import FIELDS
from spanwell_collector.store.client import Store
from tests.collector.queries.conftest import NOW, AddSpans, AddTexts, span_id, trace_id

ERRORS = (Filter(FIELDS["status"], "=", ("error",)),)


class Made(NamedTuple):
    trace: int
    ago_s: float
    duration_ms: float
    status: str


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, so that some hundred spans have many borders."""
    monkeypatch.setattr(picking, "FIRST_CHUNK", 16)
    monkeypatch.setattr(picking, "LARGEST_CHUNK", 64)


def make_spans(seed: int = 3) -> list[Made]:
    """Traces of one to five spans that overlap, many in the same second; some began before the hour that is asked."""
    dice = random.Random(seed)
    made = []
    for trace in range(1, 150):
        begun = dice.choice([dice.randint(1, 3700), dice.randint(1, 60)])
        for _ in range(dice.randint(1, 5)):
            ago_s = max(0.5, begun - dice.choice([0, 1, 1, 600]))
            made.append(Made(trace, ago_s, dice.choice([10.0, 5000.0]), dice.choice(["ok", "ok", "ok", "error"])))
    return made


def to_row(index: int, one: Made) -> dict[str, Any]:
    ids = {"trace_id": trace_id(one.trace), "span_id": span_id(index)}
    return {**ids, "ts": NOW - timedelta(seconds=one.ago_s), "duration_ms": one.duration_ms, "status": one.status}


def read_pages(store: Store, selection: Selection, limit: int, **only: Any) -> list[str]:
    listed: list[str] = []
    cursor = ""
    while True:
        page = list_traces(store, selection, TraceFilter(cursor=cursor, **only), limit=limit)
        listed += page.rows.column("trace_id").to_pylist()
        if page.next is None:
            return listed
        cursor = page.next


def order(spans: list[Made]) -> list[str]:
    """The traces of these spans by the first of each, newest first."""
    first: dict[int, float] = {}
    for one in spans:
        if one.ago_s <= 3600:
            first[one.trace] = max(one.ago_s, first.get(one.trace, 0))
    return [trace_id(trace) for trace in sorted(first, key=lambda trace: (first[trace], -trace))]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("only", [{}, {"min_duration_ms": 100.0}, {"search": "refund"}])
def test_pages_of_days_are_the_list_of_all(
    store: Store, add_spans: AddSpans, add_texts: AddTexts, selection: Selection, only: dict[str, Any]
) -> None:
    dice = random.Random(5)
    hours = {trace: dice.uniform(0, 100) for trace in range(1, 120)}
    rows: list[dict[str, Any]] = [
        {"trace_id": trace_id(trace), "ts": NOW - timedelta(hours=begun * share), "duration_ms": 100.0}
        for trace, begun in hours.items()
        for share in dice.sample([1.0, 0.999, 0.5], k=dice.randint(1, 3))
    ]
    add_spans(rows)
    add_texts([{"trace_id": row["trace_id"], "ts": row["ts"], "input": "Refund"} for row in rows])

    listed = read_pages(store, replace(selection, start=NOW - timedelta(hours=101)), 9, **only)

    first = {row["trace_id"]: row["ts"] for row in sorted(rows, key=lambda row: row["ts"], reverse=True)}
    assert listed == sorted(first, key=lambda trace: (first[trace], trace), reverse=True)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("limit", [1, 7, 50, 500])
def test_pages_put_together_are_the_list(store: Store, add_spans: AddSpans, selection: Selection, limit: int) -> None:
    spans = make_spans()
    add_spans([to_row(index, one) for index, one in enumerate(spans)])

    assert read_pages(store, selection, limit) == order(spans)


@pytest.mark.usefixtures("small_chunks")
def test_a_filtered_list_has_every_trace_with_a_match(store: Store, add_spans: AddSpans, selection: Selection) -> None:
    spans = make_spans()
    add_spans([to_row(index, one) for index, one in enumerate(spans)])

    listed = read_pages(store, replace(selection, filters=ERRORS), 10)

    assert listed == order([one for one in spans if one.status == "error"])


@pytest.mark.usefixtures("small_chunks")
def test_long_traces_are_those_of_all_their_spans_together(
    store: Store, add_spans: AddSpans, selection: Selection
) -> None:
    made = make_spans()
    add_spans([to_row(index, one) for index, one in enumerate(made)])

    listed = read_pages(store, selection, 10, min_duration_ms=100_000)

    spans = [one for one in made if one.ago_s <= 3600]
    long = {one.trace for one in spans if max(_ends(spans, one.trace)) - min(_begins(spans, one.trace)) >= 100}
    assert listed == order([one for one in spans if one.trace in long])


def _begins(spans: list[Made], trace: int) -> list[float]:
    return [-one.ago_s for one in spans if one.trace == trace]


def _ends(spans: list[Made], trace: int) -> list[float]:
    return [one.duration_ms / 1000 - one.ago_s for one in spans if one.trace == trace]


@pytest.mark.usefixtures("small_chunks")
def test_searched_traces_are_filtered_by_their_spans(
    store: Store, add_spans: AddSpans, add_texts: AddTexts, selection: Selection
) -> None:
    spans = [one for one in make_spans() if one.ago_s <= 3600]
    rows = [to_row(index, one) for index, one in enumerate(spans)]
    add_spans(rows)
    add_texts(
        [{**ids_of(row), "input": "refund" if one.trace % 2 else "else"} for row, one in zip(rows, spans, strict=True)]
    )

    listed = read_pages(store, replace(selection, filters=ERRORS), 10, search="REFUND")

    failed = {one.trace for one in spans if one.status == "error"}
    assert listed == order([one for one in spans if one.trace % 2 and one.trace in failed])


def ids_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("ts", "trace_id", "span_id")}


@pytest.mark.usefixtures("small_chunks")
def test_what_comes_in_meanwhile_moves_no_page(store: Store, add_spans: AddSpans, selection: Selection) -> None:
    spans = make_spans()
    add_spans([to_row(index, one) for index, one in enumerate(spans)])
    first = list_traces(store, selection, TraceFilter(), limit=20)

    add_spans([{"trace_id": trace_id(9000 + index), "ts": NOW - timedelta(seconds=0.1)} for index in range(40)])
    assert first.next is not None
    second = list_traces(store, selection, TraceFilter(cursor=first.next), limit=20)

    listed = [*first.rows.column("trace_id").to_pylist(), *second.rows.column("trace_id").to_pylist()]
    assert listed == order(spans)[:40]


@pytest.mark.usefixtures("small_chunks")
def test_a_thousand_spans_of_one_microsecond_are_walked_through(
    store: Store, add_spans: AddSpans, selection: Selection
) -> None:
    moment = NOW - timedelta(seconds=5)
    add_spans([{"trace_id": trace_id(index), "ts": moment} for index in range(1, 1001)])

    assert read_pages(store, selection, 300) == [trace_id(index) for index in range(1000, 0, -1)]


@pytest.mark.parametrize("cursor", ["nonsense", "!", "MTIz", "\u2713"])
def test_a_cursor_of_another_make_is_refused(store: Store, selection: Selection, cursor: str) -> None:
    with pytest.raises(QueryError, match="cursor"):
        list_traces(store, selection, TraceFilter(cursor=cursor), limit=10)


@pytest.mark.parametrize(("call", "status"), [("ok", "ok"), ("error", "error")])
def test_a_trace_did_not_fail_with_an_attempt_alone(
    store: Store, add_spans: AddSpans, selection: Selection, call: str, status: str
) -> None:
    whole = to_row(1, Made(1, 60, 10.0, call)) | {"operation": "chat", "scope": "spanwell.proxy"}
    attempt = to_row(2, Made(1, 60, 5.0, "error")) | {"operation": "", "scope": "spanwell.proxy"}
    add_spans([whole, attempt])

    (row,) = list_traces(store, selection, TraceFilter(), limit=10).rows.to_pylist()

    assert row["status"] == status
