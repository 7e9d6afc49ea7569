"""An embedded store copied to another one, which runs in a process of its own as a server would."""

from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, cast

import pytest

from spanwell.errors import StoreError
from spanwell_collector.lifecycle import copy
from spanwell_collector.lifecycle.copy import copy_store
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate

SPANS = """
INSERT INTO spanwell.spans (project, ts, trace_id, span_id, usage, cost_usd)
SELECT 'shop', now64(6) - toIntervalDay(number % 3), hex(MD5(toString(number))), '1', map('input', number), number / 3
FROM numbers(5000)
"""
SCORES = """
INSERT INTO spanwell.scores (project, ts, trace_id, name, value, version)
SELECT 'shop', now64(6), 'a', 'good', number, number FROM numbers(3)
"""
SUM = "SELECT count() AS spans, sum(cost_usd) AS usd, countIf(user_id = 'corrected') AS corrected FROM spanwell.spans"


class Elsewhere(BaseManager):
    """A process that holds a store: one process has one engine."""


class Failing:
    """A target that goes away after so many blocks."""

    def __init__(self, target: Store, blocks: int) -> None:
        self._target = target
        self._blocks = blocks

    def load(self, *arguments: Any, **named: Any) -> None:
        self._target.load(*arguments, **named)  # stored, and the answer lost
        self._blocks -= 1
        if not self._blocks:
            raise StoreError("connection reset")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


Elsewhere.register("Store", Store)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("source"))
    migrate(store, load_migrations())
    store.command(SPANS)
    store.command("UPDATE spanwell.spans SET user_id = 'corrected' WHERE usage['input'] < 10")
    store.command("DELETE FROM spanwell.spans WHERE usage['input'] = 11")
    for _ in range(2):
        store.command(SCORES)
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Store]:
    with Elsewhere(ctx=get_context("spawn")) as elsewhere:
        store = cast("Any", elsewhere).Store(path=tmp_path)
        migrate(store, load_migrations())
        yield store
        store.close()


def _ignore(line: str) -> None:
    pass


def test_every_row_arrives_with_its_corrections(source: Store, target: Store) -> None:
    said: list[str] = []

    rows = copy_store(source, target, report=said.append)

    assert rows["spans"] == 4999
    assert rows["scores"] == 1
    assert target.query(SUM).to_pylist() == source.query(SUM).to_pylist()
    assert {line.split(":")[0] for line in said} == {"scores", "spans"}


def test_a_copy_that_was_cut_off_goes_on_without_doubling(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "MAX_BLOCK_ROWS", 700)
    with pytest.raises(StoreError, match="connection reset"):
        copy_store(source, cast("Store", Failing(target, blocks=5)), report=_ignore)

    assert copy_store(source, target, report=_ignore)["spans"] == 4999


def test_a_target_with_rows_of_its_own_is_refused(source: Store, target: Store) -> None:
    target.command(SPANS)

    with pytest.raises(StoreError, match="the target's spans has rows already"):
        copy_store(source, target, report=_ignore)


def test_a_source_that_was_written_to_meanwhile_is_refused(source: Store, target: Store) -> None:
    target.command(copy.CREATE_COPIED)
    target.insert("copied", [("spans", "20200101_1_1_0", 1)], ("table_name", "part", "rows"))

    with pytest.raises(StoreError, match="the target has 20200101_1_1_0 of spans, which is here no more"):
        copy_store(source, target, report=_ignore)
