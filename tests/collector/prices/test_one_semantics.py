"""Python and the engine charge the same to the last digit: real prices, hostile usage, every tier and hour."""

import random
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanwell.pricing import Price, PriceTable, Usage, cost_usd
from spanwell.providers import name_provider
from spanwell.rates import KINDS
from spanwell_collector.prices.seed import read_map
from spanwell_collector.prices.terms import Key, to_terms
from spanwell_collector.store.client import Store
from spanwell_collector.store.pipeline.install import DIRECTORY

CASES: Final = 3000
MONDAY: Final = datetime(2026, 11, 2, tzinfo=UTC)
TIERS: Final = ("", "batch", "priority", "flex", "balanced", "ultrafast", "unheard-of")
SIZES: Final = (1, 50, 9_000, 130_000, 280_000, 600_000, 2**32 - 1, 2**32, 2**63 - 1)
ASK: Final = """
SELECT spanwell_cost(provider, model, '', fromUnixTimestamp64Micro(at_us, 'UTC'), tier,
    CAST((kinds, counts) AS Map(String, UInt64))).1 AS usd
FROM (
    SELECT
        {kinds:Array(String)} AS kinds,
        arrayJoin(arrayZip({providers:Array(String)}, {models:Array(String)}, {tiers:Array(String)},
                           {at_us:Array(Int64)}, {counts:Array(Array(UInt64))})) AS one,
        one.1 AS provider, one.2 AS model, one.3 AS tier, one.4 AS at_us, one.5 AS counts
)
"""


class Case(NamedTuple):
    key: Key
    price: Price
    usage: Usage
    tier: str
    at: datetime


def test_python_and_the_engine_agree(store: Store, table: PriceTable) -> None:
    cases = _make_cases(table, random.Random(7))

    expected = [_bound(cost_usd(one.usage, one.price, service_tier=one.tier, at=one.at)) for one in cases]
    found = _ask(store, cases)

    assert found == expected
    assert len({price for price in expected if price}) > CASES / 2


def test_the_kinds_stand_in_one_order() -> None:
    sql = " ".join((DIRECTORY / "3_prices.sql").read_text(encoding="utf-8").replace("''", "'").split())
    listed = [f"'{kind}'" for kind in KINDS]

    assert sql.count("[" + ", ".join(listed) + "]") == 2
    assert sql.count("[" + ", ".join(listed[:-1]) + "]") == 1


def _make_cases(table: PriceTable, chance: random.Random) -> list[Case]:
    terms = read_map(table)
    prices = {
        key: price
        for name, entry in table.entries.items()
        if (price := Price.from_litellm(entry, "")) and (key := Key(*_own_name(name, entry))) in terms
        if to_terms(price, str(entry.get("mode") or "")) == terms[key]
    }
    assert len(prices) > 2000
    # Every price that is more than a rate for input and one for output, and some of the others.
    rich = [key for key, price in prices.items() if price.cards]
    keys = chance.choices(sorted(prices), k=CASES - len(rich))
    return [_make_case(key, prices[key], chance) for key in (*rich, *keys)]


def _make_case(key: Key, price: Price, chance: random.Random) -> Case:
    usage = Usage(*(chance.randint(0, chance.choice(SIZES)) if chance.random() < 0.7 else 0 for _ in fields(Usage)))
    at = MONDAY + timedelta(minutes=chance.randrange(7 * 24 * 60))
    return Case(key, price, usage, chance.choice(TIERS), at)


def _own_name(name: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    provider = str(entry["litellm_provider"])
    return name_provider(provider), name.removeprefix(f"{provider}/")


def _bound(usd: Decimal) -> Decimal | None:
    """What a column can hold: eighteen digits, twelve of them after the point."""
    return usd if usd < 2**63 / Decimal(10**12) else None


def _ask(store: Store, cases: list[Case]) -> list[Decimal | None]:
    asked = {
        "kinds": [field.name for field in fields(Usage)],
        "providers": [case.key.provider for case in cases],
        "models": [case.key.model for case in cases],
        "tiers": [case.tier for case in cases],
        "at_us": [int(case.at.timestamp()) * 10**6 for case in cases],
        "counts": [list(asdict(case.usage).values()) for case in cases],
    }
    found: list[Decimal | None] = store.query(ASK, asked).column("usd").to_pylist()
    return found
