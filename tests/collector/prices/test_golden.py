"""What providers charge, summed by hand from their own price pages' rates, in Python and in the engine.

Each case writes the sum out, in US dollars a million tokens. Rates are those of a list of their own: what LiteLLM's map
says tomorrow must not change them.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from spanwell.config import Config
from spanwell.pricing import Price, PriceTable, Usage, cost_usd
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.store.client import Store
from tests.collector.prices.calls import call, insert, price_in_sql, read
from tests.collector.prices.conftest import SEEDED

GPT_5 = {
    "litellm_provider": "openai",
    "input_cost_per_token": 1.25e-06,
    "cache_read_input_token_cost": 1.25e-07,
    "output_cost_per_token": 1e-05,
    "input_cost_per_token_priority": 2.5e-06,
    "cache_read_input_token_cost_priority": 2.5e-07,
    "output_cost_per_token_priority": 2e-05,
    "input_cost_per_token_batches": 6.25e-07,
    "output_cost_per_token_batches": 5e-06,
}
GPT_LONG = {
    "litellm_provider": "openai",
    "input_cost_per_token": 2.5e-06,
    "cache_read_input_token_cost": 2.5e-07,
    "output_cost_per_token": 1.5e-05,
    "input_cost_per_token_above_272k_tokens": 5e-06,
    "cache_read_input_token_cost_above_272k_tokens": 5e-07,
    "output_cost_per_token_above_272k_tokens": 2.25e-05,
}
CLAUDE = {
    "litellm_provider": "anthropic",
    "input_cost_per_token": 3e-06,
    "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06,
    "cache_creation_input_token_cost_above_1hr": 6e-06,
    "output_cost_per_token": 1.5e-05,
    "input_cost_per_token_batches": 1.5e-06,
    "cache_read_input_token_cost_batches": 1.5e-07,
    "cache_creation_input_token_cost_batches": 1.875e-06,
    "output_cost_per_token_batches": 7.5e-06,
}
GEMINI = {
    "litellm_provider": "gemini",
    "input_cost_per_token": 1.25e-06,
    "cache_read_input_token_cost": 1.25e-07,
    "output_cost_per_token": 1e-05,
    "input_cost_per_token_above_200k_tokens": 2.5e-06,
    "cache_read_input_token_cost_above_200k_tokens": 2.5e-07,
    "output_cost_per_token_above_200k_tokens": 1.5e-05,
}
MODELS: dict[str, dict[str, Any]] = {
    "gpt-5": GPT_5,
    "gpt-long": GPT_LONG,
    "claude": CLAUDE,
    "gemini/pro": GEMINI,
    "xai/grok": {
        "litellm_provider": "xai",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "output_cost_per_token_above_200k_tokens": 3e-05,
    },
    "anthropic.claude-v1:0": CLAUDE | {"litellm_provider": "bedrock_converse"},
    "azure/gpt-4o": {
        "litellm_provider": "azure",
        "input_cost_per_token": 2.5e-06,
        "cache_read_input_token_cost": 1.25e-06,
        "output_cost_per_token": 1e-05,
    },
    "mistral/large": {"litellm_provider": "mistral", "input_cost_per_token": 2e-06, "output_cost_per_token": 6e-06},
    "embed": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08},
    "audio": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_audio_token": 4e-05,
        "output_cost_per_audio_token": 8e-05,
    },
    "perplexity/online": {
        "litellm_provider": "perplexity",
        "input_cost_per_token": 0,
        "output_cost_per_token": 2.8e-06,
        "input_cost_per_request": 0.005,
    },
    "dashscope/flash": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            {"range": [0, 256000.0], "input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07},
            {"range": [256000.0, 1000000.0], "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06},
        ],
    },
    "deepseek/v4": {
        "litellm_provider": "deepseek",
        "input_cost_per_token": 6e-07,
        "output_cost_per_token": 2e-06,
        "off_peak_pricing": {
            "input_cost_per_token": 3e-07,
            "output_cost_per_token": 1e-06,
            "windows": [
                {"hours_utc": ["04:00-06:00", "22:30-01:00"], "weekdays": [1, 2, 3, 4, 5]},
                {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
            ],
        },
    },
}
WEDNESDAY_NOON = "2026-11-04 12:00:00"


class Golden(NamedTuple):
    """A call, and its cost in US dollars times a million."""

    provider: str
    model: str  # as LiteLLM's map has it
    usage: Usage
    sum: str
    tier: str = ""
    at: str = WEDNESDAY_NOON


GOLDEN = [
    # 600 x 1.25 + 400 x 0.125 + 500 x 10, of which 200 are reasoning: 750 + 50 + 5000
    Golden("openai", "gpt-5", Usage(input=1000, cached=400, output=500, reasoning=200), "5800"),
    # priority: 600 x 2.50 + 400 x 0.25 + 500 x 20 = 1500 + 100 + 10000
    Golden("openai", "gpt-5", Usage(input=1000, cached=400, output=500, reasoning=200), "11600", "priority"),
    # batch: 600 x 0.625 + 500 x 5 + 400 x 0.0625 (its own discount stays) = 375 + 2500 + 25
    Golden("openai", "gpt-5", Usage(input=1000, cached=400, output=500), "2900", "batch"),
    # a tier without rates of its own is the standard one: 1000 x 1.25 + 500 x 10
    Golden("openai", "gpt-5", Usage(input=1000, output=500), "6250", "scale"),
    # up to the threshold: 272000 x 2.5 + 100 x 15 = 680000 + 1500
    Golden("openai", "gpt-long", Usage(input=272_000, output=100), "681500"),
    # beyond it all tokens are dearer: 172001 x 5 + 100000 x 0.5 + 100 x 22.5 = 860005 + 50000 + 2250
    Golden("openai", "gpt-long", Usage(input=272_001, cached=100_000, output=100), "912255"),
    # 1000 plain x 3 + 5000 read x 0.3 + (3000 for 5m) x 3.75 + (1000 for 1h) x 6 + 200 x 15
    # = 3000 + 1500 + 11250 + 6000 + 3000
    Golden(
        "anthropic",
        "claude",
        Usage(input=10_000, cached=5000, cache_write=4000, cache_write_1h=1000, output=200),
        "24750",
    ),
    # batch halves it all, the hour's writes too: 24750 / 2
    Golden(
        "anthropic",
        "claude",
        Usage(input=10_000, cached=5000, cache_write=4000, cache_write_1h=1000, output=200),
        "12375",
        "batch",
    ),
    # 200000 x 1.25 + 1000 x 10
    Golden("gcp.gemini", "gemini/pro", Usage(input=200_000, output=1000, reasoning=600), "260000"),
    # 150001 x 2.5 + 50000 x 0.25 + 1000 x 15 = 375002.5 + 12500 + 15000
    Golden("gcp.gemini", "gemini/pro", Usage(input=200_001, cached=50_000, output=1000), "402502.5"),
    # xAI's dearer rates begin at the threshold: 200000 x 6 + 10 x 30
    Golden("x_ai", "xai/grok", Usage(input=200_000, output=10), "1200300"),
    # as Anthropic's own: 500 x 3 + 500 x 0.3 + 100 x 15
    Golden("aws.bedrock", "anthropic.claude-v1:0", Usage(input=1000, cached=500, output=100), "3150"),
    # 800 x 2.5 + 200 x 1.25 + 100 x 10
    Golden("azure.ai.openai", "azure/gpt-4o", Usage(input=1000, cached=200, output=100), "3250"),
    # 1234 x 2 + 56 x 6
    Golden("mistral_ai", "mistral/large", Usage(input=1234, output=56), "2804"),
    # 8191 x 0.02
    Golden("openai", "embed", Usage(input=8191), "163.82"),
    # 300 x 2.5 + 700 x 40 + 100 x 10 + 400 x 80 = 750 + 28000 + 1000 + 32000
    Golden("openai", "audio", Usage(input=1000, audio_input=700, output=500, audio_output=400), "61750"),
    # a call x 5000 + 100 x 2.8
    Golden("perplexity", "perplexity/online", Usage(input=50, output=100), "5280"),
    # 256000 x 0.05 + 10 x 0.4, and one token more: 256001 x 0.25 + 10 x 2
    Golden("dashscope", "dashscope/flash", Usage(input=256_000, output=10), "12804"),
    Golden("dashscope", "dashscope/flash", Usage(input=256_001, output=10), "64020.25"),
    # noon of a Wednesday: 1000 x 0.6 + 100 x 2; at 5, at 23:30 and on a Saturday half of it
    Golden("deepseek", "deepseek/v4", Usage(input=1000, output=100), "800"),
    Golden("deepseek", "deepseek/v4", Usage(input=1000, output=100), "400", at="2026-11-04 05:59:59"),
    Golden("deepseek", "deepseek/v4", Usage(input=1000, output=100), "400", at="2026-11-04 23:30:00"),
    Golden("deepseek", "deepseek/v4", Usage(input=1000, output=100), "400", at="2026-11-07 12:00:00"),
    # more details than there are tokens are charged as far as the tokens reach: 10 x 0.125
    Golden("openai", "gpt-5", Usage(input=10, cached=30), "1.25"),
]


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return PriceTable("golden", MODELS)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden.model} {golden.sum}")
def test_python_and_the_engine_charge_what_the_provider_does(store: Store, golden: Golden) -> None:
    price = Price.from_litellm(MODELS[golden.model], "golden")
    assert price is not None
    expected = Decimal(golden.sum) / 1_000_000

    own = golden.model.rpartition("/")[2]
    priced = price_in_sql(store, golden.provider, own, golden.usage, tier=golden.tier, at=golden.at)

    assert cost_usd(golden.usage, price, service_tier=golden.tier, at=_moment(golden.at)) == expected
    assert priced == expected


@pytest.mark.parametrize("stream", [True, False])
def test_a_span_is_priced_at_insert(store: Store, project: str, stream: bool) -> None:
    usage = Usage(input=1000, cached=400, output=500, reasoning=200)
    insert(store, project, call("openai", "gpt-5", usage, gen_ai__request__stream=stream))

    (row,) = read(store, project)

    assert row["cost_usd"] == Decimal("0.0058")
    assert row["costs"] == {
        "cached": Decimal("0.00005"),
        "input": Decimal("0.00075"),
        "output": Decimal("0.003"),
        "reasoning": Decimal("0.002"),
    }
    assert (row["cost_source"], row["price_version"], row["first_cost_usd"]) == ("priced", "golden", None)


def test_each_kind_and_tier_of_a_span_reaches_its_price(store: Store, project: str) -> None:
    written = Usage(input=10_000, cached=5000, cache_write=4000, cache_write_1h=1000, output=200)
    heard = Usage(input=1000, audio_input=700, output=500, audio_output=400)
    insert(
        store,
        project,
        call("anthropic", "claude", written, spanwell__service_tier="batch"),
        call("openai", "audio", heard),
        call("", "gpt-5", Usage(input=1000)),
        call("openai", "dated-name", Usage(input=1000), gen_ai__request__model="gpt-5"),
    )

    costs = [row["cost_usd"] for row in read(store, project)]

    assert costs == [Decimal("0.012375"), Decimal("0.06175"), Decimal("0.00125"), Decimal("0.00125")]


def test_what_nobody_has_priced_costs_nothing_known(store: Store, project: str) -> None:
    insert(
        store,
        project,
        call("openai", "no-such-model", Usage(input=10)),
        call("vllm", "gpt-5", Usage(input=10)),
        call("openai", "gpt-5", Usage()),
        call("openai", "gpt-5", Usage(input=10), gen_ai__operation__name="execute_tool"),
        call("openai", "gpt-5", Usage(input=10), spanwell__cache="hit"),
    )

    assert [(row["cost_usd"], row["cost_source"], row["costs"]) for row in read(store, project)] == [(None, "", {})] * 5


def test_what_a_span_says_it_cost_stands(store: Store, project: str) -> None:
    insert(
        store, project, call("openai", "gpt-5", Usage(input=10), spanwell__cost_usd="7", spanwell__price_version="x")
    )

    (row,) = read(store, project)

    assert (row["cost_usd"], row["cost_source"], row["price_version"], row["costs"]) == (7, "reported", "x", {})


def test_numbers_beyond_all_reason_take_no_insert_with_them(store: Store, project: str) -> None:
    dear = Config(prices=[{"model": "gold", "input_usd_per_million": 900_000_000, "output_usd_per_million": 1}])
    bring_up_to_date(store, PriceTable("golden", MODELS), dear, SEEDED)
    huge = Usage(input=4_294_967_295, output=4_294_967_295, audio_input=2**63 - 1, image_input=2**63 - 1)
    insert(store, project, call("openai", "gold", huge), call("openai", "gpt-5", Usage(input=4_294_967_295)))

    overflowed, large = read(store, project)

    assert (overflowed["cost_usd"], overflowed["cost_source"], overflowed["costs"]) == (None, "", {})
    assert large["cost_usd"] == Decimal("5368.70911875")  # 4294967295 x 1.25 a million


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
