from decimal import Decimal
from typing import Any

import pytest

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import PriceTable
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Routes

PRICES = PriceTable("table-1", {"gpt-4o-mini": {"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7}})


def model(name: str = "fox", **params: Any) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {"model": "hosted_vllm/tiny", "api_base": "http://gpu:8000/v1"} | params,
    }


def read(*models: dict[str, Any], **sections: Any) -> Routes:
    return read_routes(Config(source="spanwell.yaml", model_list=list(models), **sections), PRICES)


def test_one_name_may_have_several_deployments() -> None:
    routes = read(model(weight=3), model(api_base="http://other:8000/v1/"), model("owl"))

    assert {name: [deployment.id for deployment in group] for name, group in routes.deployments.items()} == {
        "fox": ["fox-0", "fox-1"],
        "owl": ["owl-0"],
    }
    address = routes.deployments["fox"][1].url
    assert address.origin + address.path == "http://other:8000/v1"


@pytest.mark.parametrize(
    ("name", "provider", "host", "translated"),
    [
        ("hosted_vllm/tiny", "vllm", "gpu", False),
        ("openai/gpt-4o-mini", "openai", "gpu", False),
        ("anthropic/claude-fable", "anthropic", "gpu", True),
        ("bedrock/x", "aws.bedrock", "gpu", True),
    ],
)
def test_the_prefix_chooses_lane_and_provider(name: str, provider: str, host: str, translated: bool) -> None:
    (deployment,) = read(model(model=name)).deployments["fox"]

    assert (provider, host, translated) == (deployment.provider, deployment.url.host, deployment.is_translated(CHAT))


def test_a_well_known_provider_needs_no_address() -> None:
    (deployment,) = read({"model_name": "fox", "litellm_params": {"model": "gpt-4o-mini"}}).deployments["fox"]

    assert deployment.url.origin + deployment.url.path == "https://api.openai.com/v1"
    assert deployment.price
    assert deployment.price.version == "table-1"


def test_the_files_own_price_wins_and_has_a_version_of_its_own() -> None:
    entry = model(model="openai/gpt-4o-mini") | {"model_info": {"input_cost_per_token": 1, "simulated": True}}

    (deployment,) = read(entry).deployments["fox"]

    assert deployment.price
    assert (deployment.price.input, deployment.simulated) == (Decimal(1), True)
    assert deployment.price.version.startswith("config-")


def test_a_backend_with_a_batch_api_says_so_and_speaks_openais() -> None:
    said = {"model_info": {"batch_api": True}}

    (deployment,) = read(model(model="openai/gpt-4o-mini") | said).deployments["fox"]

    assert deployment.batch_api
    for other in ("anthropic/claude-fable", "bedrock/claude-fable", "azure/gpt-5"):
        with pytest.raises(ConfigError, match=r"model_info\.batch_api"):
            read(model(model=other) | said)


def test_keys_without_a_meaning_are_named() -> None:
    routes = read(
        model(tag_regex=["^a"]),
        model("poet", model="bedrock/claude-fable", aws_region_name="eu-central-1"),
        router_settings={"client_ttl": 5, "routing_strategy": "least-busy"},
        litellm_settings={"drop_params": True, "callbacks": ["langfuse"], "nobodys": 1},
    )

    assert [(one.key, bool(one.reason)) for one in routes.ignored] == [
        ("model_list[0].litellm_params.tag_regex", True),
        ("router_settings.client_ttl", True),
        ("litellm_settings.callbacks", True),
        ("litellm_settings.nobodys", False),
    ]


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"litellm_params": {"model": "openai/x"}}, r"model_list\[0\].model_name"),
        (model("f*x*"), r"model_name: write the name clients ask for; one \*"),
        (model(rpm=1.5), "litellm_params.rpm: write a whole number"),
        (model(tags="fast"), "litellm_params.tags: write a list of names"),
        (model(litellm_credential_name="gpu"), "'gpu' is no credential_name of credential_list"),
        (model("fox", model="openai/*"), r"litellm_params.model: write provider/\*"),
        (model("openai/*", model="openai/*", weight="much"), "weight"),
        (model(api_key="clé"), "litellm_params.api_key"),
        (model(api_base="http://gpu/v 1"), "litellm_params.api_base"),
        (model(model=""), "litellm_params.model"),
        (model(api_base="gpu:8000"), "litellm_params.api_base"),
        (model(api_base="http://user:word@gpu/v1"), "litellm_params.api_base"),
        (model(api_base="http://:word@gpu/v1"), "litellm_params.api_base"),
        (model(api_base="http://gpu..local/v1"), "litellm_params.api_base"),
        (model(litellm_credential_name=["gpu"]), "litellm_credential_name: write text"),
        (model(rpm=10**400), "litellm_params.rpm: write a number"),
        (model(api_key="two\nlines"), "litellm_params.api_key"),
        (model(weight="much"), "weight"),
        (model(timeout=-1), "timeout"),
        ({"model_name": "fox", "litellm_params": []}, "litellm_params.model"),
    ],
)
def test_what_is_wrong_is_named(entry: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read(entry)


def test_a_wildcard_passes_the_name_on_and_the_longest_wins() -> None:
    routes = read(
        model("*", model="openai/*"),
        model("claude-*", model="anthropic/claude-*", api_base=None),
        model("fox"),
        router_settings={"fallbacks": [{"fox": ["claude-fable"]}]},
    )

    found = [
        (each.provider, each.model, each.route) for name in ("owl/1", "claude-fable") for each in routes.expand(name)
    ]
    assert found == [("openai", "owl/1", "*"), ("anthropic", "claude-fable", "claude-*")]
    assert routes.expand("claude-fable")[0].params["model"] == "anthropic/claude-fable"
    assert routes.translated
    assert list(routes.deployments) == ["fox"]


@pytest.mark.parametrize("name", ["openai/", "openai/https://evil.example", "openai/a b", "openai/../x//", "gpt"])
def test_a_wildcard_catches_names_alone(name: str) -> None:
    assert read(model("openai/*", model="openai/*")).expand(name) == ()


def test_a_wildcard_has_the_prices_of_what_it_caught() -> None:
    (deployment,) = read(model("openai/*", model="openai/*")).expand("openai/gpt-4o-mini")

    assert deployment.price
    assert deployment.price.version == "table-1"


def test_the_providers_own_variable_is_its_key_and_goes_nowhere_else() -> None:
    environ = {"OPENAI_API_KEY": "sk-of-the-environment"}

    routes = read(
        {"model_name": "fox", "litellm_params": {"model": "gpt-4o-mini"}},
        model("owl", model="openai/owl"),
        environ=environ,
    )

    assert [routes.deployments[name][0].api_key for name in ("fox", "owl")] == ["sk-of-the-environment", ""]


def test_litellms_settings_for_the_router_count_where_the_routers_own_are_silent() -> None:
    routes = read(
        model(),
        litellm_settings={"num_retries": 5, "request_timeout": 7, "callbacks": ["langfuse"]},
        router_settings={"num_retries": 1},
    )

    assert (routes.num_retries, routes.deployments["fox"][0].timeout_s) == (1, 7.0)
    assert [one.key for one in routes.ignored] == ["litellm_settings.callbacks"]


def test_a_fallback_must_be_a_model() -> None:
    with pytest.raises(ConfigError, match="'owl' is no model_name"):
        read(model(), router_settings={"fallbacks": [{"fox": ["owl"]}]})


def test_secrets_do_not_show_in_a_repr() -> None:
    routes = read(model(api_key="sk-canary"), general_settings={"master_key": "sk-master"})

    assert "sk-" not in repr(routes)
