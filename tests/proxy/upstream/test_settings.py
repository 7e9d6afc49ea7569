from pathlib import Path
from typing import Any

import pytest
import yaml

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import PriceTable
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Deployment, Routes
from spanwell_proxy.gateway import group_deployments
from spanwell_proxy.routing.breaker import RULES
from spanwell_proxy.upstream.settings import BREAKER_KEYS, KEYS, KNOBS, OTHER_KEYS, Resilience, read_resilience
from spanwell_proxy.upstream.traffic import Traffic

EXAMPLE = Path(__file__).parents[3] / "deploy/spanwell.example.yaml"


def read_config(section: dict[str, Any], workers: int = 1, **settings: Any) -> tuple[Resilience, Routes]:
    params = {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1"} | settings.pop("params", {})
    model = {"model_name": "fox", "litellm_params": params, "model_info": {"id": "a"}}
    config = Config(model_list=[model], resilience=section, router_settings=settings)
    routes = read_routes(config, PriceTable())
    return read_resilience(config, routes, workers), routes


def fox(routes: Routes) -> Deployment:
    return routes.deployments["fox"][0]


def test_a_file_that_says_nothing_has_defaults() -> None:
    resilience, routes = read_config({})

    assert resilience.find("fox", fox(routes)) == KNOBS


def test_a_model_goes_before_all_and_a_deployment_before_its_model() -> None:
    section = {
        "chunk_seconds": 1,
        "hold_seconds": 1,
        "connect_seconds": 1,
        "models": {"fox": {"chunk_seconds": 2, "hold_seconds": 2}},
        "deployments": {"a": {"chunk_seconds": 3}},
    }
    resilience, routes = read_config(section)

    knobs = resilience.find("fox", fox(routes))

    assert (knobs.connect_s, knobs.hold_s, knobs.chunk_s) == (1, 2, 3)


def test_a_wildcard_speaks_for_the_names_it_catches() -> None:
    said = {"gpt-*": {"concurrency": 3, "hedge_after": 1}, "gpt-5": {"concurrency": 5}}
    params = {"model": "openai/gpt-*", "api_base": "http://gpu/v1", "api_key": "k"}
    config = Config(model_list=[{"model_name": "gpt-*", "litellm_params": params}], resilience={"models": said})
    routes = read_routes(config, PriceTable())
    find_group, traffic = group_deployments(routes), Traffic(read_resilience(config, routes))

    knobs = [traffic.line_up(name, find_group(name)).knobs for name in ("gpt-4", "gpt-5")]

    assert [(one.concurrency, one.hedge_s) for one in knobs] == [(3, 1.0), (5, None)]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"models": {"fix": {"concurrency": 1}}}, "resilience.models.fix: is no model_name of model_list"),
        ({"deployments": {"b": {"concurrency": 1}}}, "resilience.deployments.b: is no id of a deployment; there are a"),
    ],
)
def test_a_name_that_nothing_has_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(section)


def test_what_is_said_of_calls_at_a_time_is_for_all_workers() -> None:
    section = {"models": {"fox": {"concurrency": 10}}, "deployments": {"a": {"concurrency": 3}}}
    resilience, routes = read_config(section, workers=4)
    of_litellm, others = read_config({}, workers=4, params={"max_parallel_requests": 9})

    assert resilience.find_model("fox").concurrency == 2
    assert resilience.find("fox", fox(routes)).concurrency == 1
    assert of_litellm.find("fox", fox(others)).concurrency == 2


def test_the_settings_of_litellm_hold_where_ours_say_nothing() -> None:
    resilience, routes = read_config({}, allowed_fails=4, cooldown_time=7, params={"max_parallel_requests": 2})

    knobs = resilience.find("fox", fox(routes))

    assert knobs.concurrency == 2
    assert knobs.breaker == RULES._replace(failures=5, cool_s=7.0)


def test_ours_hold_where_they_say_something() -> None:
    resilience, _ = read_config({"breaker": {"failures": 9, "cool_seconds": 90}}, allowed_fails=4)

    assert resilience.own.breaker == RULES._replace(failures=9, cool_s=90.0, longest_cool_s=90.0)


def test_a_deployment_may_cool_longer_than_others() -> None:
    resilience, routes = read_config({}, params={"cooldown_time": 33})

    assert resilience.find("fox", fox(routes)).breaker.cool_s == 33


def test_cooling_can_be_switched_off() -> None:
    resilience, _ = read_config({}, disable_cooldowns=True)

    assert (resilience.own.breaker.failures, resilience.own.breaker.failure_rate) == (0, 2.0)


@pytest.mark.parametrize(("value", "expected"), [(0.8, (0.8, None)), ("p95", (None, 0.95)), (None, (None, None))])
def test_a_hedge_starts_after_a_time_or_a_quantile(value: Any, expected: tuple[float | None, float | None]) -> None:
    resilience, _ = read_config({"hedge_after": value})

    assert (resilience.own.hedge_s, resilience.own.hedge_quantile) == expected


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"chunk_second": 1}, r"resilience.chunk_second: unknown key; allowed are connect_seconds"),
        ({"concurrency": 1}, r"resilience.concurrency: unknown key"),
        ({"models": {"fox": {"x": 1}}}, r"resilience.models.fox.x: unknown key"),
        ({"models": {"fox": 3}}, r"resilience.models.fox: must be a mapping"),
        ({"breaker": {"rate": 1}}, r"resilience.breaker.rate: unknown key"),
        ({"chunk_seconds": 0}, r"resilience.chunk_seconds: write seconds, more than 0"),
        ({"hedge_after": "95%"}, r"resilience.hedge_after: write seconds, or a quantile"),
        ({"hedge_after": True}, r"resilience.hedge_after: write seconds, or a quantile"),
        ({"deployments": {"a": {"concurrency": 1.5}}}, r"resilience.deployments.a.concurrency: write a whole number"),
        ({"deployments": {"a": {"hedge_after": 1}}}, r"resilience.deployments.a.hedge_after: unknown key; allowed are"),
        ({"continuation": "maybe"}, r"resilience.continuation: write true or false"),
    ],
)
def test_a_wrong_word_is_named_with_what_is_allowed(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_config(section)


def test_the_example_shows_every_key() -> None:
    shown = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["resilience"]

    said = shown.keys() | shown["models"]["chat"].keys()
    assert said == {*KEYS, *OTHER_KEYS, "breaker", "models", "deployments"}
    assert shown["breaker"].keys() == set(BREAKER_KEYS)
    read_config(shown | {"models": {"fox": shown["models"]["chat"]}, "deployments": {"a": {"concurrency": 16}}})
