from decimal import Decimal

import orjson
import pytest

from spanwell.pricing import Price
from spanwell_proxy.limits.estimates import (
    PICTURE_TOKENS,
    Rates,
    find_rates,
    is_plain,
    most_input_tokens,
    most_pusd,
    to_pusd,
)

CHEAP = Price(Decimal("1e-6"), Decimal("2e-6"), "v")
DEAR = Price(Decimal("1e-6"), Decimal("4e-6"), "v", reasoning=Decimal("5e-6"), cache_write=Decimal("3e-6"))


def test_rates_are_those_of_the_dearest_deployment() -> None:
    rates = find_rates([CHEAP, DEAR], "", 100, is_long=False)

    assert rates == Rates(10**6, 3 * 10**6, 5 * 10**6, 5 * 10**6, 0, 100)


def test_without_a_price_nothing_is_reserved() -> None:
    assert find_rates([], "", 100, is_long=False) == Rates(0, 0, 0, 0, 0, 100)


def test_a_tier_that_costs_more_is_reckoned_with_where_it_is_asked_for() -> None:
    entry = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "input_cost_per_token_priority": 2e-6}
    price = Price.from_litellm(entry, "v")
    assert price

    found = [find_rates([price], tier, 0, is_long=False).input for tier in ("", "priority")]

    assert found == [10**6, 2 * 10**6]


def test_rates_of_long_inputs_count_for_long_inputs() -> None:
    entry = {
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "input_cost_per_token_above_200k_tokens": 5e-6,
    }
    price = Price.from_litellm(entry, "v")
    assert price

    assert [find_rates([price], "", 0, is_long=is_long).input for is_long in (False, True)] == [10**6, 5 * 10**6]


def test_text_has_at_most_a_token_a_byte() -> None:
    rates = find_rates([CHEAP], "", 0, is_long=False)

    assert most_pusd(b"x" * 100, 10, rates, plain=True) == 120 * 10**6


def test_a_picture_counts_as_one_however_large_it_is() -> None:
    url = "data:image/png;base64," + "A" * 1_000_000
    body = orjson.dumps({"messages": [{"content": [{"type": "image_url", "image_url": {"url": url}}]}]})

    assert PICTURE_TOKENS <= most_input_tokens(body) < 20_000


def test_a_picture_at_an_address_counts_too() -> None:
    body = orjson.dumps({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]})

    assert most_input_tokens(body) >= PICTURE_TOKENS


@pytest.mark.parametrize(
    ("request_", "plain"),
    [
        ({"messages": [{"role": "user", "content": "text"}]}, True),
        ({"input": ["text", "more"]}, True),
        ({"prompt": "text"}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, False),
        ({"messages": [], "tools": []}, False),
        ({"messages": [], "system": [{"cache_control": {}}]}, False),
        ({"messages": [None]}, False),
    ],
)
def test_parts_are_told_from_text(request_: dict[str, object], plain: bool) -> None:
    assert is_plain(request_) is plain


def test_picodollars_are_rounded_up() -> None:
    assert to_pusd(Decimal("0.0000000000011")) == 2
