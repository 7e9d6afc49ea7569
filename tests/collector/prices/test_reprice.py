"""Pricing history anew: both figures stay, and nothing else is touched."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import StoreError
from spanwell.pricing import PriceTable, Usage
from spanwell_collector.prices.reprice import Outcome, Reprice, reprice
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.store.client import Store
from tests.collector.prices.calls import call, insert, read

NOW = datetime.now(UTC)
MINI: Any = {"provider": "openai", "model": "gpt-4o-mini", "usage": Usage(input=1000, output=100)}
FIRST = Decimal("0.00021")  # 1000 x 0.15 + 100 x 0.60, a million
DEARER = Config(prices=[{"model": "gpt-4o-mini", "input_usd_per_million": 1, "output_usd_per_million": 2}])
LATER = Decimal("0.0012")  # 1000 x 1 + 100 x 2, a million


@pytest.fixture
def dearer(store: Store, table: PriceTable) -> Iterator[Callable[[], None]]:
    yield lambda: _put_in_force(store, table, DEARER)
    _put_in_force(store, table, Config())


def _put_in_force(store: Store, table: PriceTable, config: Config) -> None:
    bring_up_to_date(store, table, config, datetime.now(UTC))


def asked(project: str, **more: Any) -> Reprice:
    return Reprice(project, NOW - timedelta(days=2), NOW + timedelta(days=1))._replace(**more)


def test_both_figures_stay(store: Store, project: str, dearer: Callable[[], None]) -> None:
    insert(store, project, call(**MINI))
    dearer()

    outcome = reprice(store, asked(project))
    (row,) = read(store, project)

    assert outcome == Outcome(calls=1, changed=1, unpriced=0, before_usd=FIRST, after_usd=LATER)
    assert (row["first_cost_usd"], row["cost_usd"], row["cost_source"]) == (FIRST, LATER, "repriced")
    assert sum(row["costs"].values()) == row["cost_usd"]
    assert row["price_version"].startswith("config-")


def test_a_second_time_keeps_the_very_first_figure(
    store: Store, table: PriceTable, project: str, dearer: Callable[[], None]
) -> None:
    insert(store, project, call(**MINI))
    dearer()
    reprice(store, asked(project))
    _put_in_force(store, table, Config())

    reprice(store, asked(project))
    (row,) = read(store, project)

    assert (row["first_cost_usd"], row["cost_usd"]) == (FIRST, FIRST)
    assert reprice(store, asked(project)).changed == 0


def test_a_dry_run_changes_nothing(store: Store, project: str, dearer: Callable[[], None]) -> None:
    insert(store, project, call(**MINI))
    dearer()

    outcome = reprice(store, asked(project, dry_run=True))

    assert outcome.after_usd == LATER
    assert read(store, project)[0]["cost_source"] == "priced"


def test_what_a_producer_reported_stands_unless_it_is_asked_for(
    store: Store, project: str, dearer: Callable[[], None]
) -> None:
    insert(store, project, call(**MINI, spanwell__cost_usd="0.5"))
    dearer()

    assert reprice(store, asked(project)) == Outcome()
    assert reprice(store, asked(project, reported=True)).changed == 1
    assert read(store, project)[0]["first_cost_usd"] == Decimal("0.5")


def test_a_price_that_came_later_prices_what_had_none(store: Store, table: PriceTable, project: str) -> None:
    insert(store, project, call("vllm", "our-model", Usage(input=1000)))
    own = Config(prices=[{"model": "our-model", "input_usd_per_million": 3, "output_usd_per_million": 3}])
    _put_in_force(store, table, own)

    outcome = reprice(store, asked(project))
    (row,) = read(store, project)

    assert (outcome.changed, outcome.before_usd) == (1, Decimal(0))
    assert (row["first_cost_usd"], row["cost_usd"]) == (None, Decimal("0.003"))


def test_a_price_that_is_gone_leaves_the_figure(store: Store, project: str) -> None:
    insert(store, project, call("openai", "never-listed", Usage(input=1000), spanwell__cost_usd="0.25"))

    outcome = reprice(store, asked(project, reported=True))

    assert (outcome.changed, outcome.after_usd) == (0, Decimal("0.25"))


def test_hits_of_the_cache_and_other_models_are_left_alone(
    store: Store, project: str, dearer: Callable[[], None]
) -> None:
    hit = call(**MINI, spanwell__cost_usd="0", spanwell__cache="hit")
    insert(store, project, hit, call("openai", "gpt-4.1", Usage(input=1000)), call(**MINI))
    dearer()

    reprice(store, asked(project, model="gpt-4o-mini", reported=True))

    assert [row["cost_source"] for row in read(store, project)] == ["reported", "priced", "repriced"]


def test_the_hours_of_a_correction_that_was_cut_off_are_summed_anew(
    store: Store, project: str, dearer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(store, project, call(**MINI))
    dearer()
    correct = store.command

    def correct_and_fail(sql: str, parameters: Any = None) -> None:
        correct(sql, parameters)
        raise StoreError("the engine went away")

    monkeypatch.setattr(store, "command", correct_and_fail)
    with pytest.raises(StoreError):
        reprice(store, asked(project))
    monkeypatch.undo()

    assert reprice(store, asked(project)).changed == 0
    hours = store.query("SELECT hour FROM spanwell.hours_changed WHERE project = {p:String}", {"p": project})
    assert hours.num_rows == 1


def test_the_hours_are_summed_anew(store: Store, project: str, dearer: Callable[[], None]) -> None:
    insert(store, project, call(**MINI), ago_s=100)
    insert(store, project, call(**MINI), ago_s=25 * 3600)
    dearer()

    reprice(store, asked(project))

    hours = store.query("SELECT DISTINCT hour FROM spanwell.hours_changed WHERE project = {p:String}", {"p": project})
    assert hours.num_rows == 2
    assert reprice(store, asked(project)).changed == 0
