"""The thread of upkeep: it does its work, outlives a store that is away, and ends when it is told to."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from spanwell.errors import StoreError
from spanwell_collector import upkeep
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from tests.collector.conftest import poll


def test_calls_are_stitched_and_hours_summed_behind_the_inserts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "STITCH_SECONDS", 0.05)
    store = Store(path=tmp_path)
    migrate(store, load_migrations())
    early = datetime.now(UTC) - timedelta(hours=4)
    for span, parent in (("outer", ""), ("inner", "outer")):
        row = ("p", early, "t", span, parent, "chat", "x", 5)
        names = ("project", "ts", "trace_id", "span_id", "parent_span_id", "operation", "dialect", "input_tokens")
        store.insert("spans", [(*row, datetime.now(UTC) - timedelta(seconds=5))], (*names, "received"))
    store.insert("trace_index", [("t", early, early)], ("trace_id", "first_ts", "last_ts"))

    stop = upkeep.start_upkeep(store)
    sql = "SELECT sum(requests) AS requests FROM spanwell.usage_hourly WHERE project = 'p'"
    summed = poll(lambda: store.query(sql).column("requests").to_pylist(), lambda rows: rows == [1])
    begun = time.monotonic()
    stop()

    assert summed == [1]
    assert time.monotonic() - begun < 1
    store.close()


def test_a_store_that_is_away_is_asked_again_later_each_time() -> None:
    stopping, tries = threading.Event(), []

    def begin() -> Iterator[float]:
        while True:
            tries.append(time.monotonic())
            if len(tries) < 4:
                raise StoreError("away")
            stopping.set()
            yield 0

    upkeep.repeat(begin, stopping, pause_s=0.01)

    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) == 4
    assert [pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08), strict=True)] == [True] * 3


def test_the_next_step_comes_when_the_last_one_asked_for_it() -> None:
    stopping, begun = threading.Event(), []

    def begin() -> Iterator[float]:
        for pause_s in (0.01, 0.2, 0):
            begun.append(time.monotonic())
            yield pause_s
        stopping.set()
        yield 0

    upkeep.repeat(begin, stopping, pause_s=0)

    first, second, third = begun
    assert second - first < 0.15 <= third - second
