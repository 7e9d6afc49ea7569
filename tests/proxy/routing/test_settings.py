"""What the `routing` section may say, and what it is told when it is wrong."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from spanwell.config import Config, load_config
from spanwell.errors import ConfigError
from spanwell.pricing import PriceTable
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.routing.settings import DEFAULT, SECTION, RoutingSettings, read_routing
from spanwell_proxy.routing.trials import ARM, EXPERIMENT

EXAMPLE = Path(__file__).parents[3] / "deploy/spanwell.example.yaml"

MODELS = [
    {"model_name": name, "litellm_params": {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1"}}
    for name in ("small", "large")
]
ARMS = {"old": {"weight": 9}, "new": {"weight": 1, "model": "large"}}


def read(routing: dict[str, Any], **router: Any) -> RoutingSettings:
    config = Config(model_list=MODELS, routing=routing, router_settings=router)
    return read_routing(config, read_routes(config, PriceTable()))


def test_without_a_word_calls_are_shared_by_weight() -> None:
    policy = read({}).find_policy("small")

    assert (policy.strategy, policy.explore, policy.narrows) == ("weighted", 0.0, False)


def test_litellms_strategy_holds_where_the_section_says_nothing() -> None:
    settings = read({"routes": {"large": {"strategy": "lowest-cost"}}}, routing_strategy="least-busy")

    assert [settings.find_policy(name).strategy for name in ("small", "large")] == ["least-busy", "lowest-cost"]


def test_a_route_takes_over_what_the_default_says() -> None:
    settings = read({"default": {"explore": 0.05}, "routes": {"small": {"strategy": "lowest-latency"}}})

    assert (settings.find_policy("small").explore, settings.find_policy("small").strategy) == (0.05, "lowest-latency")


def test_a_route_may_be_made_of_models() -> None:
    levels = [{"up_to": 0.3, "models": ["small"]}, {"models": ["large"]}]
    settings = read({"routes": {"smart": {"models": ["small", "large"], "complexity": {"levels": levels}}}})

    assert settings.unions == {"smart": ("small", "large")}
    assert settings.find_policy("smart").levels == ((0.3, frozenset({"small"})), (1.0, frozenset({"large"})))


def test_an_experiment_has_its_arms_and_guardrails() -> None:
    trial = {"model": "small", "arms": ARMS, "guardrails": ["errors", {"metric": "score:helpful", "margin": 0.1}]}
    experiment = read({"experiments": {"trial": trial}}).experiments["small"]

    assert [arm.name for arm in experiment.live] == ["old", "new"]
    assert [tuple(one) for one in experiment.guardrails] == [("errors", 0.01), ("score:helpful", 0.1)]


@pytest.mark.parametrize(
    ("routing", "told"),
    [
        ({"rules": {}}, "unknown key 'rules'; allowed are default, routes, experiments, quality"),
        ({"default": {"strategy": "best"}}, "default.strategy: 'best' is not known; allowed are weighted,"),
        ({"default": {"explore": 2}}, "default.explore: write a share between 0 and 1"),
        ({"default": {"tags": "some"}}, "default.tags: write one of off, any, all"),
        ({"routes": {"smart": {"models": ["small", "tiny"]}}}, "'tiny' is no model_name of model_list"),
        ({"routes": {"small": {"models": ["large"]}}}, "'small' is a model_name of its own"),
        ({"routes": {"tiny": {}}}, "'tiny' is no model_name"),
        ({"routes": {"small": {"complexity": {"levels": []}}}}, "levels: write a list such as"),
        ({"routes": {"small": {"complexity": {"levels": [{}], "weights": {"luck": 1}}}}}, "unknown key 'luck'"),
        ({"experiments": {"trial": {"arms": ARMS}}}, "trial.model: write the model name"),
        ({"experiments": {"trial": {"model": "small", "arms": {"a": {}}}}}, "write at least two, the control first"),
        ({"experiments": {"trial": {"model": "tiny", "arms": ARMS}}}, "'tiny' is no model_name"),
        ({"experiments": {"t": {"model": "small", "arms": ARMS, "stick": "day"}}}, "allowed are user, session, key"),
        ({"experiments": {"t": {"model": "small", "arms": ARMS, "guardrails": ["luck"]}}}, "'luck' is not known"),
        (
            {"experiments": {"t": {"model": "small", "arms": ARMS | {"x": {"params": {"api_base": "http://e"}}}}}},
            "params.api_base: an arm may not change this",
        ),
        (
            {"experiments": {"t": {"model": "small", "arms": {"a": {"shadow": 0.1}, "b": {}}}}},
            "arms.a: the control needs",
        ),
        ({"experiments": {"t": {"model": "small", "arms": ARMS, "control": "x"}}}, "'x' is none of the arms: old, new"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(routing: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(routing)

    assert told in str(raised.value)


def test_the_control_may_be_named() -> None:
    experiment = read({"experiments": {"trial": {"model": "small", "arms": ARMS, "control": "new"}}}).experiments[
        "small"
    ]

    assert [arm.name for arm in experiment.arms] == ["new", "old"]


def test_a_model_has_one_experiment() -> None:
    trial = {"model": "small", "arms": ARMS}

    with pytest.raises(ConfigError, match="'one' is about this model already"):
        read({"experiments": {"one": trial, "two": trial}})


def test_the_example_shows_every_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    example, config = (
        yaml.safe_load(text),
        load_config(EXAMPLE, dict.fromkeys(re.findall(r"os\.environ/(\w+)", text), "k")),
    )
    page = (EXAMPLE.parents[1] / "docs/reference/configuration.md").read_text(encoding="utf-8")

    settings = read_routing(config, read_routes(config, PriceTable()))
    shown = {key for route in (example["routing"]["default"], *example["routing"]["routes"].values()) for key in route}

    assert settings.unions == {"smart": ("chat", "chat-large"), "best": ("chat", "chat-large")}
    assert shown == {*DEFAULT, "models"}
    assert set(example["routing"]["experiments"]["larger-model"]) == set(EXPERIMENT)
    assert {key for arm in example["routing"]["experiments"]["larger-model"]["arms"].values() for key in arm} == set(
        ARM
    )
    assert [key for key in (*shown, *SECTION, *EXPERIMENT, *ARM) if f"{key}`" not in page] == []
