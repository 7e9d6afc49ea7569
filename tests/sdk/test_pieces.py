"""Prices by the piece."""

from decimal import Decimal

import pytest

from spanwell.errors import ConfigError
from spanwell.pieces import pieces_usd, read_piece_rates
from spanwell.pricing import PriceTable, load_price_table


def test_a_piece_costs_what_the_list_says() -> None:
    rates = read_piece_rates({"output_cost_per_image": 0.04, "input_cost_per_image": 0.01})

    assert pieces_usd({"image": 3}, rates) == Decimal("0.12")


def test_a_nought_does_not_hide_the_rate_beside_it() -> None:
    assert read_piece_rates({"input_cost_per_second": 0.0, "output_cost_per_second": 0.1}) == {"second": Decimal("0.1")}
    assert read_piece_rates({"input_cost_per_second": 0}) == {"second": Decimal(0)}


def test_what_has_no_price_costs_nothing_that_is_known() -> None:
    assert pieces_usd({"second": 3}, {"image": Decimal(1)}) is None


def test_a_rate_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match="input_cost_per_query"):
        read_piece_rates({"input_cost_per_query": "two"})


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "tts-1", {"character": Decimal("0.000015")}),
        ("openai", "whisper-1", {"second": Decimal("0.0001")}),
        ("cohere", "rerank-v3.5", {"query": Decimal("0.002")}),
        ("hosted_vllm", "whisper-1", {}),
    ],
)
def test_litellms_list_has_them(provider: str, model: str, expected: dict[str, Decimal]) -> None:
    assert load_price_table().find_pieces(provider, model) == expected


def test_an_unknown_model_has_none() -> None:
    assert PriceTable().find_pieces("openai", "x") == {}
