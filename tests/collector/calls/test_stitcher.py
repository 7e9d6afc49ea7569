"""Stitching in a store: what is read, what is written over, and what later spans change."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanwell.errors import QueryError
from spanwell_collector.calls import loading, stitcher
from spanwell_collector.calls.facts import TraceKey
from spanwell_collector.calls.loading import Loaded, Times
from spanwell_collector.calls.stitcher import WAIT_SECONDS, Stitcher
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("store")
    store = Store(path=path)
    migrate(store, load_migrations())
    yield store
    store.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """Each test has its own."""
    return str(request.node.name)


class House:
    """Puts spans into one project of the store, and tells how they stand there."""

    def __init__(self, store: Store, project: str) -> None:
        self.store = store
        self.project = project
        self.seconds = 0.0
        self.stitcher = Stitcher(store, settle_ms=0, clock=lambda: NOW.timestamp() + self.seconds)

    def put(self, *spans: dict[str, Any], received: datetime | None = None) -> None:
        at = received or datetime.now(UTC)
        for span in spans:
            row = {"project": self.project, "ts": NOW, "received": at, "operation": "chat", "dialect": "x", **span}
            row |= {"trace_id": self.trace(row.get("trace_id", "t")), "span_id": ident(row["span_id"])}
            row["parent_span_id"] = ident(row.get("parent_span_id", ""))
            self.store.insert("spans", [list(row.values())], list(row))
            index = (row["trace_id"], row["ts"], row["ts"])
            self.store.insert("trace_index", [index], ("trace_id", "first_ts", "last_ts"))

    def put_texts(self, name: str, **texts: str) -> None:
        row = {"project": self.project, "ts": NOW, "trace_id": self.trace("t"), "span_id": ident(name), **texts}
        self.store.insert("texts", [list(row.values())], list(row))

    def stitch(self) -> dict[str, dict[str, Any]]:
        self.stitcher.run_pass()
        while self.stitcher.is_behind:
            self.stitcher.run_pass()
        return self.spans()

    def spans(self) -> dict[str, dict[str, Any]]:
        sql = "SELECT * FROM spanwell.spans WHERE project = {project:String} ORDER BY span_id"
        rows = self.store.query(sql, {"project": self.project}).to_pylist()
        return {row["span_id"].rstrip("."): row for row in rows}

    def trace(self, name: str) -> str:
        return f"{name}-{self.project}"[:32].ljust(32, ".")


def ident(name: str) -> str:
    return name.ljust(16, ".") if name else ""


@pytest.fixture
def house(store: Store, project: str) -> House:
    return House(store, project)


def test_an_outer_span_is_written_over_as_a_duplicate(house: House) -> None:
    house.put(
        {"span_id": "outer", "input_tokens": 5}, {"span_id": "inner", "parent_span_id": "outer", "input_tokens": 5}
    )

    spans = house.stitch()

    assert (spans["outer"]["duplicate_of"], spans["inner"]["duplicate_of"]) == (ident("inner"), "")
    assert house.stitcher.run_pass() == 0


def test_a_call_learns_from_the_spans_above_it(house: House) -> None:
    root = {"operation": "", "user_id": "ada's \\ \t\n", "session_id": "s", "tags": ["a", "b'"], "environment": "prod"}
    house.put({"span_id": "root", **root}, {"span_id": "call", "parent_span_id": "root", "input_tokens": 5})

    call = house.stitch()["call"]

    learned = {name: call[name] for name in ("user_id", "session_id", "tags", "environment")}
    assert learned == {name: root[name] for name in learned}


def test_a_parent_that_comes_later_is_waited_for(house: House) -> None:
    house.put({"span_id": "call", "parent_span_id": "root", "dialect": "spanwell", "input_tokens": 5})
    house.stitch()
    house.put({"span_id": "root", "operation": "", "dialect": "spanwell", "user_id": "ada"})

    assert house.stitch()["call"]["user_id"] == "ada"


def test_the_gateways_span_of_another_trace_takes_over_when_it_comes(house: House) -> None:
    told = {"span_id": "told", "response_id": "chatcmpl-1", "input_tokens": 5, "scope": "x"}
    house.put({**told, "session_id": "s-1"})
    assert house.stitch()["told"]["duplicate_of"] == ""

    proxy = {"span_id": "proxy", "trace_id": "u", "dialect": "spanwell", "scope": "spanwell.proxy"}
    house.put({**told, **proxy})
    spans = house.stitch()

    assert spans["told"]["duplicate_of"] == f"{house.trace('u')}:{ident('proxy')}"
    assert spans["proxy"]["session_id"] == "s-1"


def test_a_call_takes_the_certain_numbers_and_their_price(house: House) -> None:
    usd = Decimal("0.000000000123")
    certain = {"input_tokens": 83, "output_tokens": 4, "usage": {"audio_input": 3}, "cost_usd": usd}
    certain |= {"costs": {"input": usd}, "cost_source": "priced", "price_version": "v1"}
    shared = {"response_id": "msg_000001", "duration_ms": 10.0}
    told = {"span_id": "told", "parent_span_id": "root", "scope": "x", "input_tokens": 83, "output_tokens": 5}
    own = {"span_id": "own", "trace_id": "u", "dialect": "anthropic_sdk", "scope": "sdk"}
    house.put(
        {"span_id": "root", "operation": ""}, {**shared, **told, "cost_usd": Decimal(1)}, {**shared, **own, **certain}
    )

    told = house.stitch()["told"]

    expected = {**certain, "usage": [("audio_input", 3)], "costs": [("input", usd)]}
    assert {name: told[name] for name in certain} == expected


def test_texts_of_a_duplicate_are_copied_once(house: House) -> None:
    house.put(
        {"span_id": "outer", "input_tokens": 5}, {"span_id": "inner", "parent_span_id": "outer", "input_tokens": 5}
    )
    house.put_texts("outer", input="asked", output="answered")
    house.put_texts("inner", output="its own")

    house.stitch()
    Stitcher(house.store, settle_ms=0).run_pass()

    sql = "SELECT source, input, output FROM spanwell.texts WHERE trace_id = {trace:String} AND span_id = {span:String}"
    rows = house.store.query(sql, {"trace": house.trace("t"), "span": ident("inner")}).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [("", "", "its own"), ("duplicate", "asked", "")]


def test_a_model_servers_guess_is_cleared_when_its_parent_turns_out_to_be_no_call(house: House) -> None:
    house.put({"span_id": "vllm", "parent_span_id": "app", "dialect": "vllm", "duplicate_of": ident("app")})
    assert house.stitch()["vllm"]["duplicate_of"] == ident("app")

    sql = "UPDATE spanwell.spans SET received = received - INTERVAL 61 SECOND WHERE project = {project:String}"
    house.store.command(sql, {"project": house.project})
    house.seconds = WAIT_SECONDS
    assert house.stitch()["vllm"]["duplicate_of"] == ""


def test_correcting_an_hour_gone_by_marks_it(house: House) -> None:
    early = {"ts": NOW - timedelta(hours=3), "input_tokens": 5}
    house.put({"span_id": "outer", **early}, {"span_id": "inner", "parent_span_id": "outer", **early})

    house.stitch()

    sql = "SELECT toUnixTimestamp(hour) AS hour FROM spanwell.hours_changed WHERE project = {project:String}"
    changed = house.store.query(sql, {"project": house.project}).column("hour").to_pylist()
    assert changed == [(NOW - timedelta(hours=3)).replace(minute=0, second=0).timestamp()]


def test_a_trace_that_the_index_does_not_know_yet_is_stitched(house: House, store: Store) -> None:
    house.put(
        {"span_id": "outer", "input_tokens": 5}, {"span_id": "inner", "parent_span_id": "outer", "input_tokens": 5}
    )
    store.command("DELETE FROM spanwell.trace_index WHERE trace_id = {trace:String}", {"trace": house.trace("t")})

    assert house.stitch()["outer"]["duplicate_of"] == ident("inner")


def test_spans_whose_texts_may_be_under_way_are_left_for_the_next_pass(house: House, store: Store) -> None:
    house.put(
        {"span_id": "outer", "input_tokens": 5}, {"span_id": "inner", "parent_span_id": "outer", "input_tokens": 5}
    )

    assert Stitcher(store, settle_ms=5000).run_pass() == 0


def test_the_gateways_own_traffic_is_not_looked_at(house: House) -> None:
    house.put({"span_id": "proxy", "dialect": "spanwell", "scope": "spanwell.proxy", "input_tokens": 5})
    house.stitch()

    assert house.stitcher._seen.keys().isdisjoint({(house.project, house.trace("t"))})


def test_another_projects_span_with_the_same_ids_is_left_alone(house: House, store: Store) -> None:
    other = House(store, f"{house.project}-other")
    other.trace = house.trace  # type: ignore[method-assign]
    spans = (
        {"span_id": "outer", "input_tokens": 5},
        {"span_id": "inner", "parent_span_id": "outer", "input_tokens": 5},
    )
    house.put(*spans)
    other.put(spans[0])

    house.stitch()

    assert other.spans()["outer"]["duplicate_of"] == ""


def test_the_engines_clock_is_read_in_milliseconds(store: Store) -> None:
    assert store.read_clock_ms() == pytest.approx(datetime.now(UTC).timestamp() * 1000, abs=2000)


def nest(house: House, trace: str, length: int = 2) -> None:
    """A trace of calls, each within the one before: the last one counts."""
    names = [f"s{number}" for number in range(length)]
    for name, parent in zip(names, ("", *names), strict=False):
        house.put({"trace_id": trace, "span_id": name, "parent_span_id": parent, "input_tokens": 5})


def count_duplicates(house: House) -> int:
    sql = "SELECT countIf(duplicate_of != '') AS spans FROM spanwell.spans WHERE project = {project:String}"
    return int(house.store.query(sql, {"project": house.project}).column("spans").to_pylist()[0])


def test_more_traces_than_a_page_holds_are_all_stitched(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loading, stitcher):
        monkeypatch.setattr(module, "MOST_TOUCHED", 2)
    for trace in "abcde":
        nest(house, trace)

    house.stitch()

    assert count_duplicates(house) == 5


def test_traces_that_there_is_no_room_for_are_stitched_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_LOADED", 5)
    monkeypatch.setattr(loading, "MOST_SPANS", 4)
    for trace, length in (("a", 3), ("b", 3), ("c", 4), ("too long", 5)):
        nest(house, trace, length)

    house.stitch()

    assert count_duplicates(house) == 2 + 2 + 3


def test_a_trace_that_the_engine_refuses_to_tell_of_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(store: Store, traces: Mapping[TraceKey, Times]) -> Loaded:
        if any(trace_id.startswith("b") for _, trace_id in traces):
            raise QueryError("too much")
        return loading.load_spans(store, traces)

    monkeypatch.setattr(stitcher, "load_spans", load)
    for trace in "abc":
        nest(house, trace)

    house.stitch()

    assert count_duplicates(house) == 2


def test_a_name_as_long_as_a_novel_is_not_passed_on_whole(house: House) -> None:
    house.put(
        {"span_id": "root", "operation": "", "user_id": "x" * 60_000}, {"span_id": "call", "parent_span_id": "root"}
    )

    assert house.stitch()["call"]["user_id"] == "x" * loading.LONGEST_WORD
