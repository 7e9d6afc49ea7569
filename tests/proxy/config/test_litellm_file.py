"""A file as LiteLLM's documentation shows them, started unchanged and called."""

import re
from pathlib import Path
from typing import Any

import pytest

from spanwell.config import Config, load_config
from spanwell.errors import ConfigError
from spanwell.pricing import PriceTable
from spanwell.settings import Settings
from spanwell_proxy.config.adopting import adopt_sections, adopt_settings
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import LAST, Capacity, Routes
from tests.proxy.backend import Backend
from tests.proxy.config.test_litellm_keys import litellm
from tests.proxy.gateway import ASK, config, deployment, running_proxy
from tests.proxy.sink import Sink

FILE = """\
include: [more.yaml]
environment_variables: {GPU: http://gpu:8000/v1}
credential_list:
  - credential_name: gpu
    credential_values: {api_base: os.environ/GPU, api_key: sk-gpu}
    credential_info: {description: the one in the cellar}
model_list:
  - model_name: chat
    litellm_params: {model: hosted_vllm/qwen, litellm_credential_name: gpu, rpm: 60, tpm: 1000, order: 1, tags: [free],
                     temperature: 0.2, extra_body: {top_k: 3}, max_parallel_requests: 8}
    model_info: {mode: chat, access_groups: [all], max_input_tokens: 8192, base_model: azure/gpt-4o}
  - model_name: chat
    litellm_params: {model: hosted_vllm/qwen, litellm_credential_name: gpu, order: 2, max_retries: 4}
  - model_name: "*"
    litellm_params: {model: "*"}
router_settings:
  model_group_alias: {gpt-4: chat, secret: {model: chat, hidden: true}}
  routing_strategy: usage-based-routing-v2
  fallbacks: [{chat: [long]}]
  context_window_fallbacks: [{chat: [huge]}]
  content_policy_fallbacks: [{"*": [long]}]
  default_fallbacks: [long]
  retry_policy: {RateLimitErrorRetries: 5, AuthenticationErrorRetries: 0}
  model_group_retry_policy: {long: {TimeoutErrorRetries: 1}}
  allowed_fails: 3
  allowed_fails_policy: {InternalServerErrorAllowedFails: 20}
  cooldown_time: 30
  enable_pre_call_checks: true
  num_retries: "3"
litellm_settings:
  drop_params: true
  callbacks: [langfuse]
  cache: true
  cache_params: {type: redis, host: redis.local, port: 6380, password: "p@ss", ttl: 60,
                 supported_call_types: [acompletion]}
  max_budget: 100
  budget_duration: 30d
  turn_off_message_logging: true
general_settings:
  master_key: sk-1234567890abcdef
  database_url: os.environ/DATABASE_URL
  max_parallel_requests: 4
  global_max_parallel_requests: 100
"""
MORE = """\
model_list:
  - {model_name: long, litellm_params: {model: hosted_vllm/long, api_base: "http://gpu:8001/v1"}}
  - {model_name: huge, litellm_params: {model: hosted_vllm/huge, api_base: "http://gpu:8002/v1"}}
"""
EXAMPLES = sorted(
    file for file in litellm().glob("proxy/**/*config*.yaml") if "litellm_params:" in file.read_text("utf-8")
)
PRICES = PriceTable("table-1", {"azure/gpt-4o": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}})


@pytest.fixture
def file(tmp_path: Path) -> Config:
    (tmp_path / "more.yaml").write_text(MORE, encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(FILE, encoding="utf-8")
    return load_config(path, {})


@pytest.fixture
def routes(file: Config) -> Routes:
    return read_routes(file, PRICES, workers=2)


def test_a_deployment_is_read_with_all_that_says_how_to_choose_it(routes: Routes) -> None:
    first, second = routes.deployments["chat"]

    assert (first.url.host, first.api_key, first.mode, first.context_tokens) == ("gpu", "sk-gpu", "chat", 8192)
    assert (first.order, first.tags, first.weight) == (1, ("free",), 60.0)
    assert first.capacity == Capacity(rpm=30, tpm=500, parallel=4)  # of two workers, each
    assert first.defaults == {"temperature": 0.2, "top_k": 3}
    assert first.price
    assert first.price.version == "table-1"
    assert (second.order, second.capacity) == (2, Capacity())
    assert routes.deployments["long"][0].order == LAST


def test_aliases_and_groups_are_other_names(routes: Routes) -> None:
    assert routes.deployments["gpt-4"] == routes.deployments["chat"]
    assert "gpt-4" in routes.list_models()
    assert "secret" not in routes.list_models()
    assert routes.deployments["secret"]
    assert routes.access_groups == {"all": frozenset({"chat"})}


def test_a_star_for_all_takes_the_provider_from_the_name(routes: Routes) -> None:
    (found,) = routes.expand("openai/gpt-4o")

    assert (found.provider, found.model, found.route) == ("openai", "gpt-4o", "*")
    assert routes.expand("hosted_vllm/x") == ()  # nobody said where it is


def test_what_to_do_after_a_failure_is_read(routes: Routes) -> None:
    find = routes.fallback_models.find

    assert find("chat") == ("long",)
    assert find("secret") == ("long",)
    assert find("chat", "context_window") == ("huge",)
    assert find("huge", "content_policy") == ("long",)
    assert find("long") == ()  # its own default
    assert [routes.find_retries("chat").count(kind) for kind in ("", "rate_limit", "authentication")] == [4, 5, 0]
    assert [routes.find_retries("long").count(kind) for kind in ("", "timeout")] == [3, 1]
    assert (routes.cooling.allowed_fails, routes.cooling.allowed_by_class, routes.cooling.seconds) == (
        3,
        {"internal": 20},
        30.0,
    )
    assert (routes.find_strategy("chat"), routes.checks_context) == ("least-used", True)


def test_a_cache_that_is_off_by_default_is_for_who_asks() -> None:
    adopted, differences = adopt_sections(
        Config(litellm_settings={"cache": True, "cache_params": {"type": "local", "mode": "default_off"}})
    )

    assert (adopted.cache, differences) == ({"enabled": True, "opt_in": True}, ())


def test_what_has_a_section_of_ours_is_moved_there(file: Config) -> None:
    adopted, differences = adopt_sections(file)
    settings = adopt_settings(Settings(), adopted)

    assert adopted.cache == {"enabled": True, "ttl_seconds": 60.0}
    assert [one.key for one in differences] == ["litellm_settings.cache_params.supported_call_types"]
    assert settings.redis_url == "redis://:p%40ss@redis.local:6380/0"
    assert settings.capture_content is False
    assert adopted.limits["keys"] == {"concurrency": 4}
    assert adopted.limits["gateway"] == {"concurrency": 100, "budgets": [{"usd": 100, "period": "month"}]}


def test_what_means_nothing_is_named_though_its_variable_is_not_set(file: Config, routes: Routes) -> None:
    assert file.unset == ("general_settings.database_url",)
    assert [one.key for one in routes.ignored] == ["litellm_settings.callbacks"]


def test_what_counts_must_have_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("router_settings: {timeout: os.environ/NOT_SET}", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"router_settings.timeout: the environment variable"):
        read_routes(load_config(path, {}), PRICES)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"routing_strategy": "fastest"}, "routing_strategy: 'fastest' is not known; allowed are simple-shuffle"),
        ({"retry_policy": {"OddErrorRetries": 1}}, "retry_policy.OddErrorRetries: not known; allowed are BadRequest"),
        ({"model_group_alias": {"a": "nobody"}}, "model_group_alias: 'nobody' is no model_name"),
        ({"default_fallbacks": 3}, "default_fallbacks: write a list"),
        ({"default_fallbacks": ["nobody"]}, "default_fallbacks: 'nobody' is no model_name"),
        ({"enable_tag_filtering": "maybe"}, "enable_tag_filtering: write true or false"),
    ],
)
def test_a_wrong_value_is_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_routes(Config(source="f", model_list=[deployment("http://gpu/v1")], router_settings=settings), PRICES)


def test_an_entry_that_is_wrong_may_be_left_out() -> None:
    models = [deployment("http://gpu/v1"), deployment("nowhere", "owl")]

    routes = read_routes(Config(model_list=models, router_settings={"ignore_invalid_deployments": True}), PRICES)

    assert list(routes.deployments) == ["fox"]
    assert "api_base" in routes.ignored[0].reason


def test_two_deployments_have_two_ids() -> None:
    twin = deployment("http://gpu/v1") | {"model_info": {"id": "one"}}

    with pytest.raises(ConfigError, match="two deployments have the id 'one'"):
        read_routes(Config(model_list=[twin, twin]), PRICES)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_litellms_own_examples_start(file: Path) -> None:
    names = re.findall(r"os\.environ/(\w+)", file.read_text(encoding="utf-8"))
    values = {name: "http://gpu/v1" if re.search("BASE|URL|HOST|ENDPOINT", name) else "5" for name in names}

    loaded = load_config(file, values)
    routes = read_routes(adopt_sections(loaded)[0], PRICES)

    assert len(routes.deployments) + len(routes.wildcards) >= len({item["model_name"] for item in loaded.model_list})
    assert [one.key for one in routes.ignored if not one.reason] == []


async def test_what_the_file_says_for_a_model_counts_unless_the_request_does(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    params: dict[str, Any] = {"temperature": 0.2, "extra_body": {"top_k": 3}, "additional_drop_params": ["seed"]}
    async with running_proxy(tmp_path, config(deployment(backend.url, **params)), sink.port) as proxy:
        await proxy.post(ASK | {"seed": 7})
        await proxy.post(ASK | {"temperature": 1})

    asked, own = backend.requests
    assert (asked["temperature"], asked["top_k"], "seed" in asked) == (0.2, 3, False)
    assert own["temperature"] == 1


async def test_a_deployment_that_took_its_calls_of_a_minute_is_passed_over(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    few = deployment(backend.url, rpm=2, model="hosted_vllm/few", order=1)
    async with running_proxy(tmp_path, config(few, deployment(backend.url)), sink.port) as proxy:
        for _ in range(5):
            await proxy.post()

    assert [one["model"] for one in backend.requests] == ["few", "few", "tiny", "tiny", "tiny"]
