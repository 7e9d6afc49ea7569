"""The example is read by the very code that reads a user's file, and leaves no key out."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from spanwell.backends import HEALTH_KEYS
from spanwell.backends import KEYS as BACKEND_KEYS
from spanwell.config import LITELLM_SECTIONS, OWN_SECTIONS, Config, load_config
from spanwell.pricing import load_price_table
from spanwell_collector.worker.sections import DriftSection, JudgeSection, Receiver, Rule, read_sections
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.caches.settings import KEYS as CACHE_KEYS
from spanwell_proxy.caches.settings import read_cache_settings
from spanwell_proxy.config.litellm_keys import SECTIONS
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.guards.settings import COMMON, TYPES, read_guards

EXAMPLE = Path(__file__).parents[2] / "deploy/spanwell.example.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
# Named in a comment: they say what something else in the file says.
ELSEWHERE = {"redis_url", "redis_host", "redis_port", "redis_password", "redis_db", "coordination_redis", "mode"}
ENVIRON = {
    "OPENAI_API_KEY": "sk-openai",
    "ANTHROPIC_API_KEY": "sk-anthropic",
    "GATEWAY_MASTER_KEY": "sk-master-0123456789abcdef",
    "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(EXAMPLE, ENVIRON)


def test_the_proxy_knows_every_key_of_it(config: Config) -> None:
    routes = read_routes(config, load_price_table())

    assert routes.ignored == ()
    assert [deployment.id for deployment in routes.deployments["chat"]] == ["qwen-a", "qwen-b"]
    translated = {name: group[0].is_translated(CHAT) for name, group in routes.deployments.items()}
    assert translated == {"chat": False, "chat-large": False, "judge": True, "gpt-4": False, "old-name": False}
    assert all(deployment.price for group in routes.deployments.values() for deployment in group)


def test_the_cache_is_on(config: Config) -> None:
    assert read_cache_settings(config) is not None


def test_its_guards_are_sound_and_show_every_key(config: Config) -> None:
    guards = read_guards(config, lambda: bytes(32))

    known = {key for kind in TYPES.values() for key in kind.keys} | set(COMMON)
    assert guards
    assert len(guards.guards) == len(DOCUMENT["guards"])
    assert known - {"call"} == keys_of(DOCUMENT["guards"]) - {True} | {"on"}


def test_the_worker_accepts_it_with_its_rubric(config: Config) -> None:
    worker = read_sections(config)

    assert [judge.rubric.name for judge in worker.judges] == ["helpfulness"]
    assert [rule.name for rule in worker.alerts.rules] == ["slow", "spend"]


def test_it_shows_every_key() -> None:
    models = DOCUMENT["model_list"]

    assert set(LITELLM_SECTIONS + OWN_SECTIONS) == set(DOCUMENT)
    shown = {
        "litellm_params": keys_of([model["litellm_params"] for model in models]) | {"api_version", "mock_response"},
        "model_info": keys_of([model.get("model_info", {}) for model in models]),
        **{section: set(DOCUMENT[section]) for section in ("router_settings", "general_settings")},
    }
    assert {name: SECTIONS[name].honoured - keys - ELSEWHERE for name, keys in shown.items()} == dict.fromkeys(
        shown, frozenset()
    )
    assert set(BACKEND_KEYS) == keys_of(DOCUMENT["backends"])
    assert set(HEALTH_KEYS) == set(DOCUMENT["backends"][0]["health"])
    assert set(CACHE_KEYS) == set(DOCUMENT["cache"])


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        (JudgeSection, DOCUMENT["judges"]),
        (DriftSection, [DOCUMENT["drift"]]),
        (Receiver, DOCUMENT["alerts"]["receivers"]),
        (Rule, DOCUMENT["alerts"]["rules"]),
    ],
)
def test_it_shows_every_key_of_the_worker(section: type[BaseModel], shown: list[dict[str, Any]]) -> None:
    assert set(section.model_fields) == keys_of(shown)


def keys_of(entries: list[dict[str, Any]]) -> set[str]:
    return {key for entry in entries for key in entry}
