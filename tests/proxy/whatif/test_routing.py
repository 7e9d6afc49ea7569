"""Stored calls replayed under another policy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import PriceTable
from spanwell.settings import Settings
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.plan import Plan
from spanwell_proxy.routing.policy import Policy
from spanwell_proxy.routing.settings import read_routing
from spanwell_proxy.whatif.routes import describe, parse_policy
from spanwell_proxy.whatif.routing import Replayed, read_routed, replay_route
from tests.proxy.routing.candidates import candidates

START = datetime(2026, 11, 21, 8, tzinfo=UTC)
PRICES = [{"input_cost_per_token": 4e-6}, {"input_cost_per_token": 1e-6}]
USUAL: dict[str, Any] = {
    "span_id": "s",
    "operation": "chat",
    "purpose": "",
    "duplicate_of": "",
    "cache": "",
    "attempts": 1,
    "request_model": "fox",
    "input_tokens": 100,
    "output_tokens": 20,
    "stream": 0,
    "tags": [],
    "session_id": "",
    "duration_ms": 500,
    "ttft_ms": None,
    "status": "ok",
    "cost_usd": 0.0004,
    "deployment": "fox-0",
}


def row(number: int, probability: str = "0.5", **facts: Any) -> dict[str, Any]:
    attributes = {"spanwell.route.strategy": "weighted", "spanwell.route.probability": probability}
    ts = (START + timedelta(seconds=number)).replace(tzinfo=None).isoformat()
    told = {"trace_id": f"{number:032x}", "ts": ts, "user_id": f"user {number}", "attributes": attributes}
    return USUAL | told | facts


def half_and_half(count: int = 200) -> list[dict[str, Any]]:
    cheap: dict[str, Any] = {"deployment": "fox-1", "cost_usd": 0.0001, "duration_ms": 900}
    return [row(number, **(cheap if number % 2 else {})) for number in range(count)]


def replay(rows: list[dict[str, Any]], policy: Policy) -> Replayed:
    replayed = replay_route(read_routed(rows, {}), candidates(*PRICES), policy, {})
    assert replayed is not None
    return replayed


def test_all_to_the_cheapest_costs_what_its_calls_cost() -> None:
    replayed = replay(half_and_half(), Policy(strategy="lowest-cost"))
    cost, latency, errors = replayed.compared

    assert replayed.shares == {"fox-0": 0.0, "fox-1": 1.0}
    assert cost.was.value == pytest.approx(0.00025)
    assert cost.weighted is not None
    assert cost.robust is not None
    assert [cost.weighted.value, cost.robust.value] == pytest.approx([0.0001, 0.0001])
    assert latency.weighted is not None
    assert latency.weighted.value == pytest.approx(900)
    assert errors.was.value == 0.0
    assert replayed.effective == pytest.approx(100)


def test_latencies_are_learned_in_the_order_they_came() -> None:
    rows = half_and_half()

    replayed = replay(rows, Policy(strategy="lowest-latency"))

    assert replayed.shares["fox-0"] > 0.9


@pytest.mark.parametrize(
    "facts",
    [{"cache": "hit"}, {"attempts": 2}, {"purpose": "judge"}, {"duplicate_of": "x"}, {"attributes": {}}],
)
def test_calls_that_no_policy_chose_do_not_count(facts: dict[str, Any]) -> None:
    assert read_routed([row(1, **facts)], {}) == []


def test_where_nothing_went_is_said() -> None:
    replayed = replay([row(number) for number in range(100)], Policy(strategy="lowest-cost"))
    told = "\n".join(describe("fox", "lowest-cost", replayed))

    assert replayed.unheard == 1.0
    assert "100.0% would go to deployments that had no call" in told
    assert "too few calls" in told


def test_texts_let_complexity_decide() -> None:
    hard = '[{"role":"user","parts":[{"type":"text","content":"Prove why, step by step; derive and compare."}]}]'
    policy = Policy(levels=((0.2, frozenset({"fox-0"})), (1.0, frozenset({"fox-1"}))))

    calls = read_routed([row(1), row(2)], {(f"{2:032x}", "s"): hard})
    replayed = replay_route(calls, candidates(*PRICES), policy, {})

    assert replayed is not None
    assert replayed.shares == {"fox-0": 0.5, "fox-1": 0.5}


def test_hostile_texts_are_replayed_too() -> None:
    for text in ("{", "[3, null]", '{"a": 1}', '[{"parts": [4, {"content": 5}], "role": []}]'):
        assert replay_route(read_routed([row(1)], {(f"{1:032x}", "s"): text}), candidates({}), Policy(), {})


def plan() -> Plan:
    models = [{"model_name": "fox", "litellm_params": {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1"}}]
    config = Config(model_list=models, routing={"routes": {"fox": {"explore": 0.1}}})
    routes = read_routes(config, PriceTable())
    return Plan(Settings(), routes, None, routing=read_routing(config, routes))


def test_a_policy_is_a_strategy_a_route_or_a_mapping() -> None:
    policies = [parse_policy(text, "fox", plan()) for text in ("least-busy", "fox", "{strategy: lowest-cost}")]

    assert [(one.strategy, one.explore) for one in policies] == [
        ("least-busy", 0.1),
        ("weighted", 0.1),
        ("lowest-cost", 0.0),
    ]


@pytest.mark.parametrize("text", ["fastest", "{strategy: fastest}", "{: "])
def test_what_is_no_policy_is_told_what_is(text: str) -> None:
    with pytest.raises(ConfigError, match="weighted"):
        parse_policy(text, "fox", plan())
