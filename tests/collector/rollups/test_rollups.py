"""Sums against spans: they are the same, they follow what changes, and nobody sees half of a change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spanwell_collector.rollups.builder import KEEP_SECONDS, REBUILD_SECONDS, Builder
from spanwell_collector.rollups.changes import mark_changed
from spanwell_collector.rollups.definitions import HOURLY
from spanwell_collector.rollups.read import (
    USAGE_METRICS,
    Plan,
    covers,
    find_stretch,
    render_usage,
    select_usage,
    select_user_usage,
)
from spanwell_collector.store.client import Store

NOW = datetime.now(UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)
EXACT = ("requests", "errors", "unpriced", "cache_hits", "input_tokens", "output_tokens", "cached_tokens")
# Ten days of calls, three of them an hour on average, of all sorts.
FILL = """
INSERT INTO spanwell.spans (project, ts, received, trace_id, span_id, operation, purpose, duplicate_of, status, cache,
    app, model, user_id, session_id, input_tokens, output_tokens, cached_tokens, cost_usd, saved_usd, costs, ttft_ms,
    duration_ms)
SELECT {project:String}, now64(6) - toIntervalSecond(rand(1) % 864000), now64(3) - INTERVAL 1 MINUTE,
    lower(hex(randomString(16))), lower(hex(randomString(8))),
    ['chat', 'embeddings', 'execute_tool'][1 + rand(2) % 3], ['', '', '', 'judge'][1 + rand(3) % 4],
    ['', '', 'x'][1 + rand(4) % 3], ['ok', 'error'][1 + rand(5) % 2], ['', 'hit', 'miss'][1 + rand(6) % 3],
    ['shop', 'desk'][1 + rand(7) % 2], ['m1', 'm2', 'm3'][1 + rand(8) % 3],
    ['', 'ada', 'bob', 'eve'][1 + rand(9) % 4], toString(rand(10) % 50), rand(11) % 5000, rand(12) % 900, rand(13) % 90,
    if(rand(14) % 5 = 0, NULL, toDecimal64(rand(15) / 3e9, 12)), toDecimal64(rand(16) / 7e9, 12),
    map('input', toDecimal64(rand(17) / 9e9, 12)), if(rand(18) % 2 = 0, NULL, rand(19) % 400), rand(20) % 9000
FROM numbers(20000)
"""


class Clock:
    def __init__(self) -> None:
        self.ms = int(NOW.timestamp() * 1000)

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(store: Store, clock: Clock) -> Callable[[], int]:
    """Sums all that is due; how many days that was. The clock stands well within an hour."""
    clock.ms = int((THIS_HOUR + timedelta(minutes=30)).timestamp() * 1000)
    builder = Builder(store, clock_ms=clock)

    def run() -> int:
        builder.look()
        days = 0
        while builder.build_next():
            days += 1
        return days

    return run


def put(store: Store, project: str, at: datetime, **columns: Any) -> None:
    row = {"project": project, "ts": at, "received": datetime.now(UTC), "trace_id": "t", "span_id": "s"}
    row |= {"operation": "chat", "model": "m1", **columns}
    store.insert("spans", [list(row.values())], list(row))


def ask(store: Store, project: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    metrics = ", ".join(f"{sql} AS its_{name}" for name, sql in USAGE_METRICS.items())
    usage = select_usage(store, project, start, end)
    return by_model(store, metrics, usage.relation, usage.parameters)


def ask_spans(store: Store, project: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The same from spans alone."""
    metrics = ", ".join(f"{sql} AS its_{name}" for name, sql in USAGE_METRICS.items())
    us = [int(moment.timestamp()) * 1_000_000 + moment.microsecond for moment in (start, end)]
    usage = render_usage(HOURLY, project, us[0], us[1], Plan(0, 0, 0))
    return by_model(store, metrics, usage.relation, usage.parameters)


def by_model(store: Store, metrics: str, relation: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    sql = f"SELECT model, {metrics} FROM {relation} GROUP BY model ORDER BY model"
    rows: list[dict[str, Any]] = store.query(sql, parameters).to_pylist()
    return rows


def requests(store: Store, project: str, hours_ago: float = 48) -> int:
    rows = ask(store, project, NOW - timedelta(hours=hours_ago), NOW + timedelta(hours=1))
    return sum(row["its_requests"] for row in rows)


def test_sums_are_what_the_spans_say(store: Store, project: str, build: Callable[[], int]) -> None:
    store.command(FILL, {"project": project})
    build()

    for start, end in ((NOW - timedelta(days=9, minutes=7), NOW), (NOW - timedelta(days=4), NOW - timedelta(days=1))):
        summed, raw = ask(store, project, start, end), ask_spans(store, project, start, end)
        assert [row["model"] for row in raw] == ["m1", "m2", "m3"]
        for one, other in zip(summed, raw, strict=True):
            for name in USAGE_METRICS:
                close = 0 if name in EXACT else 1e-9 if "usd" in name or name == "tokens_per_second" else 0.03
                assert one[f"its_{name}"] == pytest.approx(other[f"its_{name}"], rel=close, abs=0), name


def test_most_of_a_long_window_is_read_from_sums(store: Store, project: str, build: Callable[[], int]) -> None:
    put(store, project, NOW - timedelta(hours=40))
    build()

    parameters = select_usage(store, project, NOW - timedelta(hours=30, minutes=1), NOW).parameters

    assert parameters["usage_until"] == THIS_HOUR.timestamp()
    assert parameters["usage_until"] - parameters["usage_from"] >= 29 * 3600


def test_only_calls_are_summed(store: Store, project: str, build: Callable[[], int]) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    for other in ({"operation": "execute_tool"}, {"purpose": "judge"}, {"duplicate_of": "x"}):
        put(store, project, at, **other)
    build()

    assert requests(store, project) == 1


def test_a_late_span_shows_once_its_hour_is_summed_again(
    store: Store, project: str, build: Callable[[], int], clock: Clock
) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    build()
    put(store, project, at)
    store.command(
        "UPDATE spanwell.spans SET received = now64(3) + INTERVAL 1 HOUR WHERE project = {p:String}",
        {"p": project},
    )

    assert (build(), requests(store, project)) == (0, 1)  # not before five minutes have passed
    clock.ms += REBUILD_SECONDS * 1000
    assert build() > 0
    assert requests(store, project) == 2


def test_a_correction_shows_once_its_hour_is_marked(
    store: Store, project: str, build: Callable[[], int], clock: Clock
) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    build()
    store.command("UPDATE spanwell.spans SET duplicate_of = 'x' WHERE project = {p:String}", {"p": project})

    clock.ms += REBUILD_SECONDS * 1000 + 60_000
    store.command(
        "INSERT INTO spanwell.hours_changed VALUES ({p:String}, {h:DateTime}, now64(3) + INTERVAL 1 HOUR)",
        {"p": project, "h": at},
    )
    build()

    assert requests(store, project) == 0


def test_an_hour_whose_spans_are_gone_keeps_its_sums(
    store: Store, project: str, build: Callable[[], int], clock: Clock
) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    build()
    store.command("DELETE FROM spanwell.spans WHERE project = {p:String}", {"p": project})
    mark_changed(store, project, [at])
    clock.ms += 2 * REBUILD_SECONDS * 1000
    build()

    assert requests(store, project) == 1


@pytest.mark.parametrize(("spans_before", "counted"), [(2, 2), (0, 1)])
def test_a_span_that_comes_when_those_of_its_hour_are_gone_does_not_replace_their_sums(
    store: Store, project: str, build: Callable[[], int], clock: Clock, spans_before: int, counted: int
) -> None:
    at = THIS_HOUR - timedelta(hours=30)
    put(store, project, THIS_HOUR - timedelta(hours=40))
    for _ in range(spans_before):
        put(store, project, at)
    build()
    store.command("DELETE FROM spanwell.spans WHERE project = {p:String}", {"p": project})
    put(store, project, at, received=NOW + timedelta(hours=1))
    clock.ms += 2 * REBUILD_SECONDS * 1000
    build()

    assert requests(store, project, 35) == counted


def test_a_question_that_was_planned_before_a_rebuild_sees_the_old_sums_whole(
    store: Store, project: str, build: Callable[[], int], clock: Clock
) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    build()
    planned = select_usage(store, project, NOW - timedelta(hours=24), NOW)
    put(store, project, at)
    store.command(
        "UPDATE spanwell.spans SET received = now64(3) + INTERVAL 2 HOUR WHERE project = {p:String}",
        {"p": project},
    )
    clock.ms += REBUILD_SECONDS * 1000
    build()

    old = by_model(store, "sum(requests) AS its_requests", planned.relation, planned.parameters)

    assert [row["its_requests"] for row in old] == [1]
    assert requests(store, project) == 2


def test_replaced_sums_are_removed_when_nobody_reads_them_any_more(
    store: Store, project: str, build: Callable[[], int], clock: Clock
) -> None:
    at = THIS_HOUR - timedelta(hours=3)
    put(store, project, at)
    build()
    put(store, project, at, app="late")
    store.command(
        "UPDATE spanwell.spans SET received = now64(3) + INTERVAL 3 HOUR WHERE project = {p:String}",
        {"p": project},
    )
    clock.ms += REBUILD_SECONDS * 1000
    build()
    count = "SELECT count() AS rows FROM spanwell.usage_hourly WHERE project = {p:String}"
    assert store.query(count, {"p": project}).to_pylist() == [{"rows": 3}]

    Builder(store, clock_ms=clock).sweep()
    assert store.query(count, {"p": project}).to_pylist() == [{"rows": 3}]
    newest = store.query("SELECT max(version) AS version FROM spanwell.rollups").column("version").to_pylist()[0]
    clock.ms = newest + KEEP_SECONDS * 1000 + 1
    Builder(store, clock_ms=clock).sweep()

    assert store.query(count, {"p": project}).to_pylist() == [{"rows": 2}]
    assert requests(store, project) == 2


def test_a_builder_that_starts_anew_builds_nothing_twice(store: Store, project: str, build: Callable[[], int]) -> None:
    put(store, project, THIS_HOUR - timedelta(hours=30), received=NOW - timedelta(hours=30))
    build()
    before = store.query("SELECT count() AS rows FROM spanwell.rollups").to_pylist()

    again = Builder(store, clock_ms=lambda: int((THIS_HOUR + timedelta(minutes=31)).timestamp() * 1000))
    again.look()

    assert again._missing["usage_hourly"] == set()
    assert store.query("SELECT count() AS rows FROM spanwell.rollups").to_pylist() == before


def test_more_hours_are_remembered_than_an_answer_may_have_rows(store: Store, project: str, clock: Clock) -> None:
    store.command(
        "INSERT INTO spanwell.rollups SELECT 'usage_hourly', concat({p:String}, toString(number % 50)),"
        " toStartOfHour(now()) - toIntervalHour(intDiv(number, 50)), 5, now64(3), 1 FROM numbers(210000)",
        {"p": project},
    )

    Builder(store, clock_ms=clock).look()

    store.command("DELETE FROM spanwell.rollups WHERE version = 5")


def test_history_is_summed_newest_day_first(store: Store, project: str, clock: Clock) -> None:
    put(store, project, THIS_HOUR - timedelta(days=5))
    builder = Builder(store, clock_ms=clock)
    builder.look()
    builder.build_next()

    sql = "SELECT toUnixTimestamp(min(period)) AS first FROM spanwell.rollups WHERE project = {p:String}"
    first = store.query(sql, {"p": project}).column("first").to_pylist()[0]

    assert first >= (THIS_HOUR - timedelta(days=1, hours=1)).timestamp()


def test_users_are_summed_by_the_day(store: Store, project: str, build: Callable[[], int]) -> None:
    for user in ("ada", "ada", "bob", ""):
        put(store, project, THIS_HOUR - timedelta(days=2), user_id=user, input_tokens=5)
    build()

    def users() -> list[tuple[str, int]]:
        usage = select_user_usage(store, project, NOW - timedelta(days=4), NOW)
        sql = f"SELECT user_id, sum(input_tokens) AS used FROM {usage.relation} GROUP BY user_id ORDER BY user_id"
        return [(row["user_id"], row["used"]) for row in store.query(sql, usage.parameters).to_pylist()]

    assert users() == [("ada", 10), ("bob", 5)]


def test_the_longest_run_of_periods_is_found() -> None:
    assert find_stretch([], 10) == (0, 0)
    assert find_stretch([50, 30, 10, 40, 0], 10) == (30, 60)


def test_sums_cover_their_dimensions_in_whole_hours() -> None:
    assert covers(["model", "app"], ["cost_usd"], bucket_seconds=86_400)
    assert not covers(["user_id"])
    assert not covers(["model"], bucket_seconds=600)
    assert not covers(["model"], ["unheard_of"])
