"""What a call costs, to the last digit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.errors import ConfigError
from spanwell.pricing import Price, PriceTable, Usage, cost_usd, costs_usd, load_price_table
from spanwell.rates import KINDS, read_off_peak

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


@pytest.mark.parametrize("rate", ["free", -1, float("nan"), float("inf"), [1], True])
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


def test_what_runs_on_a_machine_of_yours_does_not_cost_the_lists_nought() -> None:
    table = PriceTable("v", {"ollama/llama": {"input_cost_per_token": 0, "litellm_provider": "ollama"}})

    assert table.find("ollama", "llama") is None


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


RICH = {
    "litellm_provider": "anthropic",
    "input_cost_per_token": 4e-06,
    "cache_read_input_token_cost": 4e-07,
    "cache_creation_input_token_cost": 5e-06,
    "cache_creation_input_token_cost_above_1hr": 8e-06,
    "output_cost_per_token": 2e-05,
    "input_cost_per_token_above_200k_tokens": 8e-06,
    "output_cost_per_token_above_200k_tokens": 3e-05,
    "input_cost_per_token_batches": 2e-06,
    "output_cost_per_token_batches": 1e-05,
    "input_cost_per_token_priority": 8e-06,
}


def rates_of(
    entry: dict[str, Any], service_tier: str = "", tokens: int = 0, at: datetime | None = None
) -> dict[str, Any]:
    """A card's rates in US dollars a million tokens."""
    price = Price.from_litellm(entry, "v")
    assert price is not None
    card = price.choose(tokens, service_tier, at)
    return {kind: float(rate * 1_000_000) for kind, rate in zip(KINDS, card.rates, strict=True)}


def test_what_a_tier_does_not_list_gets_its_discount() -> None:
    rates = rates_of(RICH, "batch")

    assert [rates[kind] for kind in ("input", "cached", "cache_write", "cache_write_1h", "output", "reasoning")] == [
        2,
        0.2,
        2.5,
        4,
        10,
        10,
    ]


def test_long_inputs_are_dearer_in_every_kind() -> None:
    at, above = rates_of(RICH, tokens=200_000), rates_of(RICH, tokens=200_001)

    assert (at["input"], at["cached"], at["output"]) == (4, 0.4, 20)
    assert (above["input"], above["cached"], above["output"]) == (8, 0.8, 30)


def test_a_discount_holds_for_long_inputs_and_a_surcharge_does_not() -> None:
    assert rates_of(RICH, "batch", 200_001)["input"] == 4
    assert rates_of(RICH, "priority", 200_001)["input"] == 8


def test_an_unknown_tier_is_the_standard_one() -> None:
    assert rates_of(RICH, "scale") == rates_of(RICH)


def test_off_peak_rates_hold_at_their_hours_alone() -> None:
    terms = {"input_cost_per_token": 1e-06, "windows": [{"hours_utc": "22:30-02:00", "weekdays": [1]}]}
    entry = RICH | {"off_peak_pricing": terms}
    monday = datetime(2026, 11, 2, tzinfo=UTC)

    hours = [hour for hour in range(168) if rates_of(entry, at=monday + timedelta(hours=hour))["input"] == 1]

    assert hours == [0, 1, 23]


def test_off_peak_days_are_those_of_the_place() -> None:
    terms = {"windows": [{"hours_utc": "16:00-17:00", "weekdays": [6]}], "weekday_timezone": "Asia/Shanghai"}

    assert read_off_peak({"off_peak_pricing": terms}) == (24 * 4 + 16,)  # Friday in UTC is Saturday there


@given(st.builds(Usage, *[st.integers(0, 2**34)] * 10))
def test_no_token_is_charged_twice_and_none_for_nothing(usage: Usage) -> None:
    flat = Price.from_litellm({"input_cost_per_token": 1, "output_cost_per_token": 1}, "v")
    assert flat is not None

    costs = costs_usd(usage, flat)

    assert sum(costs.values()) == min(usage.input, 2**32 - 1) + min(usage.output, 2**32 - 1)
    assert cost_usd(usage, flat) == sum(costs.values())


def test_a_call_itself_may_cost() -> None:
    price = Price.from_litellm({"input_cost_per_token": 0, "input_cost_per_request": 0.005}, "v")
    assert price is not None

    assert costs_usd(Usage(input=10), price) == {"request": Decimal("0.005")}


def test_a_model_that_is_paid_by_the_picture_has_no_price_a_token() -> None:
    entry = {"input_cost_per_token": 0, "output_cost_per_token": 0, "output_cost_per_image": 0.04}

    assert Price.from_litellm(entry, "v") is None


def test_a_rate_that_must_be_one_of_a_million_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="write US dollars a token"):
        Price.from_litellm({"input_cost_per_token": 2500}, "v")
