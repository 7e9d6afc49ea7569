"""The user's own prices: what may be written, and what is said of what may not."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.overrides import BEGINNING
from spanwell.rates import KINDS
from spanwell_collector.prices.overlay import read_words
from spanwell_collector.prices.terms import Key

BOTH = {"model": "m", "input_usd_per_million": 1, "output_usd_per_million": 2}


def read(*items: dict[str, Any], known: tuple[Key, ...] = ()) -> list[Any]:
    return read_words(Config(source="s.yaml", prices=list(items)), known)


def test_rates_may_be_written_by_the_million_or_as_litellm_does() -> None:
    litellm = {"model": "m", "provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}

    (one,), (other,) = read(BOTH | {"provider": "openai"}), read(litellm)

    assert one.terms == other.terms
    assert one.terms.cards[0].rates[KINDS.index("output")] == Decimal("0.000002")
    assert (one.key, one.valid_from) == (Key("openai", "m"), BEGINNING)


def test_one_that_names_no_provider_overrides_all() -> None:
    known = (Key("openai", "m"), Key("azure.ai.openai", "m"), Key("openai", "other"))

    keys = {override.key for override in read(BOTH, known=known)}

    assert keys == {Key("*", "m"), Key("", "m"), Key("openai", "m"), Key("azure.ai.openai", "m")}


@pytest.mark.parametrize("written", [date(2026, 11, 5), datetime(2026, 11, 5), datetime(2026, 11, 5, tzinfo=UTC)])  # noqa: DTZ001
def test_a_price_begins_on_its_date(written: date) -> None:
    (override,) = read(BOTH | {"provider": "openai", "from": written})

    assert override.valid_from == datetime(2026, 11, 5, tzinfo=UTC)


def test_a_providers_litellm_name_is_understood() -> None:
    (override,) = read(BOTH | {"provider": "bedrock"})

    assert override.key.provider == "aws.bedrock"


def test_the_section_wins_over_the_model_list() -> None:
    params = {"model": "openai/m", "input_cost_per_token": 5e-06, "output_cost_per_token": 5e-06}
    config = Config(prices=[BOTH | {"provider": "openai"}], model_list=[{"model_name": "x", "litellm_params": params}])

    (override,) = read_words(config, ())

    assert override.terms.cards[0].rates[KINDS.index("input")] == Decimal("0.000001")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"input_usd_per_million": 1}, r"s.yaml: prices\[0\].model: write the name"),
        (BOTH | {"inptu": 1}, r"prices\[0\].inptu: not known; allowed are model, provider, from"),
        (BOTH | {"input_usd_per_million": "cheap"}, r"prices\[0\].input_usd_per_million: 'cheap' is no price"),
        (BOTH | {"input_usd_per_million": -1}, r"prices\[0\].input_cost_per_token: .* is no price"),
        (BOTH | {"input_usd_per_million": 2e9}, r"prices\[0\].input_cost_per_token: .* is no price"),
        (BOTH | {"from": "soon"}, r"prices\[0\].from: 'soon' is no date; write one such as 2026-11-01"),
        (BOTH | {"provider": 7}, r"prices\[0\].provider: write text"),
        ({"model": "m"}, r"prices\[0\]: write a price, such as input_usd_per_million"),
        ({"model": "m", "input_usd_per_million": 1}, r"prices\[0\].output_usd_per_million: write it too"),
    ],
)
def test_what_is_wrong_is_named(item: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(item)
