"""LiteLLM's names of routing strategies, and what they are called here."""

from collections.abc import Mapping
from typing import Any, Final

from spanwell.errors import ConfigError
from spanwell_proxy.config.fields import read_text, read_words

STRATEGIES: Final = {
    "simple-shuffle": "weighted",
    "least-busy": "least-busy",
    "usage-based-routing": "least-used",
    "usage-based-routing-v2": "least-used",
    "latency-based-routing": "lowest-latency",
    "cost-based-routing": "lowest-cost",
    "lar1": "lowest-latency",
}


def read_strategies(settings: Mapping[str, Any], where: str) -> dict[str, str]:
    """By model name; '' for those in no group. Empty where the file names no strategy. Raises ConfigError."""
    named = {"": _read_strategy(settings, where)} if settings.get("routing_strategy") else {}
    groups = settings.get("routing_groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise ConfigError(f"{where}.routing_groups: must be a list of mappings")
    for index, group in enumerate(groups):
        at = f"{where}.routing_groups[{index}]"
        named |= dict.fromkeys(read_words(group, "models", at), _read_strategy(group, at))
    return named


def _read_strategy(section: Mapping[str, Any], where: str) -> str:
    name = read_text(section, "routing_strategy", where)
    if name not in STRATEGIES:
        raise ConfigError(f"{where}.routing_strategy: {name!r} is not known; allowed are {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
