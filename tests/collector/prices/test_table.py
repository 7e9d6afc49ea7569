"""What the price table takes over from its sources, and what it keeps of what they said before."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import StoreError
from spanwell.pricing import PriceTable, Usage
from spanwell_collector.prices.seed import read_map
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.prices.terms import Key
from spanwell_collector.store.client import Store
from tests.collector.prices.calls import price_in_sql
from tests.collector.prices.conftest import SEEDED

THOUSAND = Usage(input=1000)
LISTED = {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return PriceTable("list-0", {"m": LISTED})


def change(store: Store, entries: dict[str, Any], now: datetime, **config: Any) -> int:
    table = PriceTable(f"list-{now:%m%d%H%M}-{len(entries)}", entries)
    return bring_up_to_date(store, table, Config(**config), now)


def cost(store: Store, model: str, at: datetime, provider: str = "openai", request_model: str = "") -> Decimal | None:
    usd = price_in_sql(
        store, provider, model, THOUSAND, tier="", at=f"{at:%Y-%m-%d %H:%M:%S.%f}", request_model=request_model
    )
    return None if usd is None else usd * 1000


def test_a_new_price_holds_from_now_on_and_a_new_model_always(store: Store) -> None:
    later = SEEDED + timedelta(days=10)
    dearer = LISTED | {"input_cost_per_token": 3e-06}

    changed = change(store, {"m": dearer, "new": LISTED}, later)

    assert changed == 4  # each under its provider, and under the name alone
    assert [cost(store, "m", later + timedelta(days=days)) for days in (-1, 1)] == [1, 3]
    assert cost(store, "new", later - timedelta(days=1)) == 1
    assert change(store, {"m": dearer, "new": LISTED}, later) == 0


def test_a_model_that_leaves_the_list_keeps_its_price(store: Store) -> None:
    change(store, {"leaves": LISTED}, SEEDED)

    change(store, {"other": LISTED}, SEEDED + timedelta(hours=1))

    assert cost(store, "leaves", SEEDED + timedelta(days=1)) == 1


def test_the_users_word_holds_before_the_lists_from_its_date_on(store: Store) -> None:
    own = {"model": "m-own", "from": datetime(2026, 11, 5, tzinfo=UTC).date(), "output_usd_per_million": 1}
    change(store, {"m-own": LISTED}, SEEDED, prices=[{**own, "input_usd_per_million": 9}])

    before, after = SEEDED, SEEDED + timedelta(days=6)

    assert [cost(store, "m-own", moment) for moment in (before, after)] == [1, 9]
    # Nor does a later list take it away again.
    change(
        store, {"m-own": LISTED | {"input_cost_per_token": 5e-06}}, after, prices=[{**own, "input_usd_per_million": 9}]
    )
    assert cost(store, "m-own", after + timedelta(days=1)) == 9


def test_what_the_user_takes_back_holds_no_longer(store: Store) -> None:
    own = [{"model": "back", "input_usd_per_million": 9, "output_usd_per_million": 9}]
    change(store, {"back": LISTED}, SEEDED, prices=own)

    change(store, {"back": LISTED}, SEEDED + timedelta(hours=1), prices=[])

    assert cost(store, "back", SEEDED) == 1
    assert cost(store, "back", SEEDED, provider="elsewhere") is None


def test_what_the_user_said_before_holds_on_where_a_later_word_is_taken_back(store: Store) -> None:
    words = [
        {"model": "kept", "from": date(2026, 11, day), "input_usd_per_million": usd, "output_usd_per_million": usd}
        for day, usd in ((2, 7), (5, 9))
    ]
    change(store, {"kept": LISTED}, SEEDED, prices=words)
    then = datetime(2026, 11, 6, tzinfo=UTC)
    assert cost(store, "kept", then) == 9

    change(store, {"kept": LISTED}, SEEDED + timedelta(hours=1), prices=words[:1])

    assert cost(store, "kept", then) == 7
    assert cost(store, "kept", SEEDED) == 1


def test_the_moment_of_a_change_is_the_new_price_s(store: Store) -> None:
    own = {"model": "turn", "from": date(2026, 11, 5), "input_usd_per_million": 9, "output_usd_per_million": 9}
    change(store, {"turn": LISTED}, SEEDED, prices=[own])
    midnight = datetime(2026, 11, 5, tzinfo=UTC)

    moments = (midnight - timedelta(microseconds=1), midnight, midnight + timedelta(microseconds=1))

    assert [cost(store, "turn", moment) for moment in moments] == [1, 9, 9]


def test_the_users_word_for_what_was_asked_goes_before_the_lists_for_what_answered(store: Store) -> None:
    own = [{"model": "m-1", "provider": "openai", "input_usd_per_million": 9, "output_usd_per_million": 9}]
    change(store, {"m-1": LISTED, "m-1-2026-01-31": LISTED}, SEEDED, prices=own)

    asked = [cost(store, "m-1-2026-01-31", SEEDED, request_model=name) for name in ("m-1", "m-1-2026-01-31")]

    assert asked == [9, 1]


def test_a_price_of_nobodys_in_particular_is_everybodys(store: Store) -> None:
    change(
        store,
        {"m": LISTED},
        SEEDED,
        prices=[{"model": "ours", "input_usd_per_million": 4, "output_usd_per_million": 4}],
    )

    assert [cost(store, "ours", SEEDED, provider=name) for name in ("vllm", "openai", "")] == [4, 4, 4]


def test_a_deployment_of_your_own_is_priced_whoever_is_said_to_answer(store: Store) -> None:
    params = {"model": "hosted_vllm/org/llm", "api_base": "http://127.0.0.1:8000/v1", "input_cost_per_token": 7e-06}
    change(store, {"m": LISTED}, SEEDED, model_list=[{"model_name": "chat", "litellm_params": params}])

    assert [cost(store, "org/llm", SEEDED, provider=name) for name in ("vllm", "openai")] == [7, 7]


def test_a_reload_that_was_cut_off_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [{"model": "cut", "input_usd_per_million": 4, "output_usd_per_million": 4}]
    assert cost(store, "cut", SEEDED) is None

    def fail(sql: str) -> None:
        raise StoreError(sql)

    monkeypatch.setattr(store, "command", fail)
    with pytest.raises(StoreError):
        change(store, {"m": LISTED}, SEEDED, prices=own)
    monkeypatch.undo()

    change(store, {"m": LISTED}, SEEDED, prices=own)
    assert cost(store, "cut", SEEDED) == 4


def test_models_are_listed_as_spans_name_them(table: PriceTable) -> None:
    rates = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}
    named = {
        "azure/gpt": "azure",
        "bedrock/us-east-1/titan": "bedrock",
        "anthropic.claude": "bedrock_converse",
        "vertex_ai/claude": "vertex_ai-anthropic_models",
        "gemini/pro": "gemini",
        "xai/grok": "xai",
        "mistral/large": "mistral",
        "ollama/llama": "ollama",
        "together_ai/org/llama": "together_ai",
    }

    keys = set(read_map(PriceTable("v", {name: {**rates, "litellm_provider": one} for name, one in named.items()})))

    assert keys == {
        Key("azure.ai.openai", "gpt"),
        Key("aws.bedrock", "us-east-1/titan"),
        Key("", "us-east-1/titan"),
        Key("aws.bedrock", "anthropic.claude"),
        Key("", "anthropic.claude"),
        Key("gcp.vertex_ai", "claude"),
        Key("", "claude"),
        Key("gcp.gemini", "pro"),
        Key("gcp.gen_ai", "pro"),
        Key("", "pro"),
        Key("x_ai", "grok"),
        Key("", "grok"),
        Key("mistral_ai", "large"),
        Key("", "large"),
        Key("together_ai", "org/llama"),
    }


def test_a_bare_name_of_two_makers_is_nobodys() -> None:
    rates = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}
    both = {
        "openai/one": rates | {"litellm_provider": "openai"},
        "mistral/one": rates | {"litellm_provider": "mistral"},
    }

    assert Key("", "one") not in read_map(PriceTable("v", both))


def test_a_bad_entry_of_the_list_takes_no_other_with_it() -> None:
    entries = {"bad": LISTED | {"input_cost_per_token": "cheap"}, "good": LISTED}

    assert {key.model for key in read_map(PriceTable("v", entries))} == {"good"}
