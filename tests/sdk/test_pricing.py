"""What a call costs, to the last digit."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.errors import ConfigError
from spanwell.pricing import Price, PriceTable, Usage, cost_usd, load_price_table

PLAIN = Price(input=Decimal("0.000001"), output=Decimal("0.000002"), version="v")
FULL = Price(
    input=Decimal("0.000001"),
    output=Decimal("0.000002"),
    version="v",
    cached=Decimal("0.0000001"),
    cache_write=Decimal("0.00000125"),
    reasoning=Decimal("0.000003"),
)


@pytest.mark.parametrize(
    ("usage", "price", "expected"),
    [
        (Usage(), FULL, "0"),
        (Usage(input=1000, output=500), PLAIN, "0.002"),
        (Usage(input=1000, output=500, cached=400, cache_write=100, reasoning=200), PLAIN, "0.002"),
        (Usage(input=1000, output=500, cached=400, cache_write=100, reasoning=200), FULL, "0.001865"),
        (Usage(input=1, output=0), Price(Decimal("7.5e-08"), Decimal(0), "v"), "0.000000075"),
    ],
)
def test_a_call_costs(usage: Usage, price: Price, expected: str) -> None:
    assert cost_usd(usage, price) == Decimal(expected)


TOKENS = st.integers(0, 10**6)


@given(TOKENS, TOKENS, TOKENS)
def test_cached_tokens_are_never_charged_twice(plain: int, cached: int, output: int) -> None:
    usage = Usage(input=plain + cached, output=output, cached=cached)

    assert cost_usd(usage, PLAIN) == (plain + cached) * PLAIN.input + output * PLAIN.output


def test_details_that_exceed_their_total_cost_no_less_than_nothing() -> None:
    assert cost_usd(Usage(input=10, cached=30), FULL) >= 0


@pytest.mark.parametrize("rate", [7.5e-08, "7.5e-08", "0.000000075", Decimal("7.5E-8")])
def test_rates_keep_every_digit_however_they_are_written(rate: Any) -> None:
    price = Price.from_litellm({"input_cost_per_token": rate, "output_cost_per_token": rate}, "v")

    assert price == Price(Decimal("0.000000075"), Decimal("0.000000075"), "v")


@pytest.mark.parametrize("rate", ["free", -1, float("nan"), float("inf"), [1]])
def test_a_rate_that_is_none_is_an_error_that_names_it(rate: Any) -> None:
    with pytest.raises(ConfigError, match=r"input_cost_per_token: .* is no price"):
        Price.from_litellm({"input_cost_per_token": rate}, "v")


def test_a_free_model_costs_nought_and_an_unknown_one_has_no_price() -> None:
    table = PriceTable("v", {"free": {"input_cost_per_token": 0}, "picture": {"output_cost_per_image": 1}})

    free = table.find("openai", "free")

    assert free is not None
    assert cost_usd(Usage(input=5, output=5), free) == 0
    assert table.find("openai", "picture") is None
    assert table.find("openai", "unknown") is None


def test_the_providers_own_price_wins() -> None:
    table = PriceTable("v", {"m": {"input_cost_per_token": 1}, "azure/m": {"input_cost_per_token": 2}})

    prices = [table.find(provider, "m") for provider in ("azure", "openai")]

    assert [price.input for price in prices if price] == [2, 1]


def test_a_bare_name_is_the_price_of_its_own_provider_alone() -> None:
    table = PriceTable("v", {"m": {"input_cost_per_token": 1, "litellm_provider": "openai"}})

    assert table.find("openai", "m")
    assert table.find("hosted_vllm", "m") is None


def test_the_installed_table_prices_known_models() -> None:
    table = load_price_table()

    price = table.find("openai", "gpt-4o-mini")

    assert table.version.startswith("litellm-")
    assert price is not None
    assert (price.version, price.input, price.output, price.cached) == (
        table.version,
        Decimal("0.00000015"),
        Decimal("0.0000006"),
        Decimal("0.000000075"),
    )
