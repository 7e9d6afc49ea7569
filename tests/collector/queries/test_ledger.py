"""The ledger against what producers do: gaps, repeats, restarts, and numbers meant to break it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spanwell_collector.queries.ledger import MOST_GAPS, get_ledger, list_accepted
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate

NOW = datetime.now(UTC).replace(microsecond=0)
EARLY = NOW - timedelta(minutes=10)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    yield store
    store.close()


class Book:
    """One project's ledger."""

    def __init__(self, store: Store, project: str) -> None:
        self.store = store
        self.project = project
        self._digest = 0

    def enter(self, first: int, sent: int, **columns: Any) -> None:
        """A batch; all of it is stored unless something else is said."""
        self._digest += 1
        row = {"received": EARLY, "project": self.project, "service": "shop", "instance": "i-1", "first": first}
        row |= {"sent": sent, "stored": sent, "digest": self._digest, **columns}
        self.store.insert("ledger", [list(row.values())], list(row))

    def read(self, start: datetime = NOW - timedelta(days=1), end: datetime = NOW) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = get_ledger(self.store, self.project, start, end).to_pylist()
        return rows

    def line(self, **window: datetime) -> dict[str, Any]:
        """The one producer's, its figures alone."""
        (row,) = self.read(**window)
        return {name: row[name] for name in ("sent", "stored", "rejected", "dropped", "late", "missing")}

    def gaps(self, **window: datetime) -> list[tuple[int, int]]:
        (row,) = self.read(**window)
        return [(gap["first"], gap["count"]) for gap in row["gaps"]]


@pytest.fixture
def book(store: Store, request: pytest.FixtureRequest) -> Book:
    return Book(store, request.node.name)


def figures(sent: int, stored: int, **others: int) -> dict[str, int]:
    return {"sent": sent, "stored": stored, "rejected": 0, "dropped": 0, "late": 0, "missing": 0, **others}


def test_what_was_sent_is_stored(book: Book) -> None:
    book.enter(0, 10)
    book.enter(10, 5)

    assert book.line() == figures(15, 15)
    assert book.gaps() == []


def test_a_gap_is_named_with_the_batches_around_it(book: Book) -> None:
    book.enter(0, 10)
    book.enter(15, 5, received=EARLY + timedelta(seconds=3))

    (row,) = book.read()

    assert row["gaps"] == [{"first": 10, "count": 5, "after": EARLY, "before": EARLY + timedelta(seconds=3)}]
    assert book.line() == figures(20, 15, missing=5)


def test_what_came_before_the_first_batch_is_missing_too(book: Book) -> None:
    book.enter(4, 6)

    assert book.gaps() == [(0, 4)]


def test_a_gap_behind_which_a_batch_came_just_now_is_late(book: Book) -> None:
    book.enter(0, 10)
    book.enter(12, 10, received=datetime.now(UTC) - timedelta(seconds=1))

    assert book.line(end=datetime.now(UTC) + timedelta(minutes=1)) == figures(22, 20, late=2)


def test_batches_may_come_in_any_order(book: Book) -> None:
    for first in (20, 0, 10):
        book.enter(first, 10)

    assert book.line() == figures(30, 30)


def test_a_batch_received_twice_counts_once(book: Book) -> None:
    for seconds in (0, 5):
        book.enter(0, 10, digest=7, received=EARLY + timedelta(seconds=seconds))

    assert book.line() == figures(10, 10)


def test_overlapping_batches_leave_no_gap(book: Book) -> None:
    book.enter(0, 10)
    book.enter(5, 10)
    book.enter(2, 3)

    assert book.line() == figures(15, 23)
    assert book.gaps() == []


def test_spans_that_were_refused_are_told_apart_from_lost_ones(book: Book) -> None:
    book.enter(0, 10, stored=7, rejected=2)

    assert book.line() == figures(10, 7, rejected=2, missing=1)


def test_spans_the_producer_dropped_are_told_apart_from_lost_ones(book: Book) -> None:
    book.enter(0, 10, dropped=3)
    book.enter(10, 10, dropped=8)

    assert book.line() == figures(20, 20, dropped=8)


def test_a_producer_that_starts_anew_is_another(book: Book) -> None:
    book.enter(0, 10)
    book.enter(0, 10, instance="i-2")

    assert [(row["instance"], row["sent"], row["missing"]) for row in book.read()] == [("i-1", 10, 0), ("i-2", 10, 0)]


def test_batches_that_nobody_numbered_are_one_line_a_service(book: Book) -> None:
    for instance in ("", "a", "b"):
        book.enter(0, 0, instance=instance, stored=4, rejected=1)

    (row,) = book.read()

    assert (row["numbered"], row["instance"], row["sent"], row["stored"], row["rejected"]) == (False, "", 15, 12, 3)


def test_rows_of_an_older_version_count(book: Book) -> None:
    book.enter(0, 10, digest=0)
    book.enter(10, 10, digest=0)

    assert book.line() == figures(20, 20)


def test_a_window_counts_what_came_in_it(book: Book) -> None:
    book.enter(0, 10, received=EARLY - timedelta(hours=2), dropped=5)
    book.enter(12, 8, dropped=6)

    assert book.line(start=EARLY - timedelta(minutes=1)) == figures(10, 8, dropped=1, missing=2)


def test_a_batch_of_days_ago_is_still_known_to_precede(book: Book) -> None:
    book.enter(0, 100, received=EARLY - timedelta(days=5), dropped=5)
    book.enter(100, 8, dropped=5)

    assert book.line() == figures(8, 8)


def test_a_gap_that_was_filled_after_the_window_is_none(book: Book) -> None:
    book.enter(0, 10)
    book.enter(20, 10)
    book.enter(10, 10, received=EARLY + timedelta(minutes=5))

    assert book.gaps(end=EARLY + timedelta(minutes=1)) == []


def test_other_projects_are_left_out(book: Book, store: Store) -> None:
    Book(store, f"{book.project}-other").enter(0, 3)
    book.enter(0, 10)

    assert book.line() == figures(10, 10)


def test_numbers_at_the_edge_of_what_there_is_break_nothing(book: Book) -> None:
    book.enter(0, 1)
    book.enter(2**63, 2**63 - 1)
    book.enter(2**64 - 1, 2**64 - 1, stored=1)

    (row,) = book.read()

    assert (row["sent"], row["missing"]) == (2**63 - 1, 2**63 - 1)
    assert row["gaps"][0]["first"] == 1


def test_many_gaps_are_all_counted_and_the_first_hundred_named(book: Book) -> None:
    rows = [(EARLY, book.project, "shop", "i-1", 2 * number, 1, 1, number + 1) for number in range(500)]
    names = ("received", "project", "service", "instance", "first", "sent", "stored", "digest")
    book.store.insert("ledger", rows, names)

    assert book.line() == figures(999, 500, missing=499)
    assert book.gaps() == [(2 * number + 1, 1) for number in range(MOST_GAPS)]


def test_accepted_digests_are_still_known_after_a_long_outage(book: Book) -> None:
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    book.store.command("TRUNCATE TABLE spanwell.ledger")
    book.enter(0, 1, digest=7, received=two_days_ago)
    book.enter(1, 1, digest=8, received=two_days_ago - timedelta(hours=7))

    assert list_accepted(book.store) == [(7).to_bytes(8, "little")]


def test_accepted_digests_are_told_oldest_first(book: Book) -> None:
    now = datetime.now(UTC) + timedelta(minutes=5)  # newer than what other tests have entered
    book.enter(0, 1, digest=2**64 - 2, received=now - timedelta(seconds=2))
    book.enter(1, 1, digest=2**64 - 1, received=now - timedelta(seconds=1))
    book.enter(0, 1, digest=2**64 - 2, received=now - timedelta(hours=7))
    book.enter(2, 1, digest=0, received=now)

    assert list_accepted(book.store)[-2:] == [(2**64 - 2).to_bytes(8, "little"), (2**64 - 1).to_bytes(8, "little")]
