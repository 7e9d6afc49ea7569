"""Reads the `routing` section: how each model name's calls are shared, and which experiments run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, cast

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.config.fields import read_mapping, read_number, read_text, read_words
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.routing.complexity import DEFAULT_SCALE, FEATURES, Scale
from spanwell_proxy.routing.experiments import Experiment
from spanwell_proxy.routing.policy import STRATEGIES, Names, Policy, Strategy
from spanwell_proxy.routing.trials import allow_keys, read_experiment

SECTION: Final = ("default", "routes", "experiments", "quality")
DEFAULT: Final = ("strategy", "explore", "tags", "tiers", "complexity", "budget_usd", "output_tokens", "load_bound")
TAGS: Final = ("off", "any", "all")

Knows = Callable[[str], bool]


class Quality(NamedTuple):
    """Which judgements count, of how many days, and how often they are read. An empty score is any."""

    score: str = ""
    days: float = 7.0
    every_s: float = 60.0


@dataclass(frozen=True)
class RoutingSettings:
    """Policies and experiments by the model name that clients ask for; '' for all others."""

    policies: Mapping[str, Policy] = field(default_factory=lambda: {"": Policy()})
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)

    @property
    def unions(self) -> Mapping[str, tuple[str, ...]]:
        """The routes that are made of other models."""
        return {name: policy.models for name, policy in self.policies.items() if policy.models}

    @property
    def judges_quality(self) -> bool:
        return any(policy.strategy == "best-quality" for policy in self.policies.values())

    def find_policy(self, model: str) -> Policy:
        """How a model name's calls are shared."""
        return self.policies.get(model) or self.policies[""]


def read_routing(config: Config, routes: Routes) -> RoutingSettings:
    """LiteLLM's `routing_strategy` and tags hold where the section says nothing. Raises ConfigError."""
    where, section = f"{config.source}: routing", config.routing
    allow_keys(section, SECTION, where)
    knows = _find_known(config, routes)
    tags = Policy(by_tags=routes.filters_tags, all_tags=not routes.any_tag)
    default = _read_policy(tags, read_mapping(section, "default", where), f"{where}.default", routes.find_strategy(""))
    policies = {"": default}
    for name in filter(None, routes.strategies):
        policies[name] = replace(default, name=name, strategy=cast(Strategy, routes.strategies[name]))
    for name, item in read_mapping(section, "routes", where).items():
        policies[str(name)] = _read_route(str(name), item, default, f"{where}.routes.{name}", routes, knows)
    policies = {alias: policies[name] for alias, name in routes.aliases.items() if name in policies} | policies
    return RoutingSettings(
        policies,
        _read_experiments(read_mapping(section, "experiments", where), f"{where}.experiments", policies, knows),
        _read_quality(read_mapping(section, "quality", where), f"{where}.quality"),
    )


def read_policy(name: str, item: Any, default: Policy, where: str) -> Policy:
    """One policy over what holds where it says nothing. Raises ConfigError."""
    if not isinstance(item, dict):
        raise ConfigError(f"{where}: must be a mapping")
    allow_keys(item, (*DEFAULT, "models"), where)
    own = {key: value for key, value in item.items() if key != "models"}
    return replace(_read_policy(default, own, where, ""), name=name, models=read_words(item, "models", where))


def _read_route(name: str, item: Any, default: Policy, where: str, routes: Routes, knows: Knows) -> Policy:
    policy = read_policy(name, item, default, where)
    if policy.models and name in routes.deployments:
        raise ConfigError(f"{where}.models: {name!r} is a model_name of its own; take another name")
    named = {*policy.models, *(one for names in policy.tiers.values() for one in names)}
    named |= {one for _, names in policy.levels for one in names}
    for model in sorted(named) if policy.models else (name,):
        if not knows(model):
            raise ConfigError(f"{where}: {model!r} is no model_name of model_list, nor the id of a deployment")
    return policy


def _read_policy(base: Policy, item: Mapping[str, Any], where: str, given: str) -> Policy:
    allow_keys(item, DEFAULT, where)
    strategy = read_text(item, "strategy", where) or given or base.strategy
    if strategy not in STRATEGIES:
        raise ConfigError(f"{where}.strategy: {strategy!r} is not known; allowed are {', '.join(STRATEGIES)}")
    tags = item.get("tags", "all" if base.all_tags else "any" if base.by_tags else "off")
    if tags not in (*TAGS, False):  # YAML reads `off` as false
        raise ConfigError(f"{where}.tags: write one of {', '.join(TAGS)}")
    return replace(
        base,
        name=base.name,
        strategy=cast(Strategy, strategy),
        explore=_share(item, "explore", base.explore, where),
        by_tags=tags in ("any", "all"),
        all_tags=tags == "all",
        tiers=_read_tiers(item, where) if "tiers" in item else base.tiers,
        levels=_read_levels(read_mapping(item, "complexity", where), f"{where}.complexity")
        if "complexity" in item
        else base.levels,
        scale=_read_scale(read_mapping(item, "complexity", where), f"{where}.complexity"),
        budget_usd=read_number(item, "budget_usd", base.budget_usd, where) if "budget_usd" in item else base.budget_usd,
        output_tokens=int(read_number(item, "output_tokens", base.output_tokens, where)),
        load_bound=max(1.0, read_number(item, "load_bound", base.load_bound, where)),
    )


def _read_tiers(item: Mapping[str, Any], where: str) -> dict[str, Names]:
    tiers = read_mapping(item, "tiers", where)
    return {str(tier): frozenset(read_words(tiers, tier, f"{where}.tiers")) for tier in tiers}


def _read_levels(section: Mapping[str, Any], where: str) -> tuple[tuple[float, Names], ...]:
    allow_keys(section, ("levels", "weights"), where)
    listed = section.get("levels")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(
            f"{where}.levels: write a list such as [{{up_to: 0.3, models: [small]}}, {{models: [large]}}]"
        )
    levels = []
    for index, one in enumerate(listed):
        at = f"{where}.levels[{index}]"
        allow_keys(one, ("up_to", "models"), at)
        levels.append((_share(one, "up_to", 1.0, at), frozenset(read_words(one, "models", at))))
    if levels != sorted(levels, key=lambda level: level[0]):
        raise ConfigError(f"{where}.levels: write them from the lowest up_to to the highest")
    return tuple(levels)


def _read_scale(section: Mapping[str, Any], where: str) -> Scale:
    if not section.get("weights"):
        return DEFAULT_SCALE
    weights = read_mapping(section, "weights", where)
    allow_keys(weights, tuple(FEATURES), f"{where}.weights")
    for name, value in weights.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{where}.weights.{name}: write a number")
    return Scale(tuple((dict(DEFAULT_SCALE.weights) | dict(weights)).items()))


def _read_experiments(
    section: Mapping[str, Any], where: str, policies: Mapping[str, Policy], knows: Knows
) -> dict[str, Experiment]:
    found: dict[str, Experiment] = {}
    for name, item in section.items():
        experiment = read_experiment(str(name), item, f"{where}.{name}")
        for model in (experiment.model, *(arm.model for arm in experiment.arms)):
            if model and not knows(model) and model not in policies:
                raise ConfigError(f"{where}.{name}: {model!r} is no model_name of model_list")
        if experiment.model in found:
            raise ConfigError(f"{where}.{name}.model: {found[experiment.model].name!r} is about this model already")
        found[experiment.model] = experiment
    return found


def _read_quality(section: Mapping[str, Any], where: str) -> Quality:
    allow_keys(section, ("score", "days", "every_seconds"), where)
    return Quality(
        read_text(section, "score", where),
        max(0.01, read_number(section, "days", 7.0, where)),
        max(1.0, read_number(section, "every_seconds", 60.0, where)),
    )


def _share(section: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = read_number(section, key, default, where)
    if value > 1:
        raise ConfigError(f"{where}.{key}: write a share between 0 and 1")
    return value


def _find_known(config: Config, routes: Routes) -> Knows:
    """Whether a name is a model's or a deployment's; what `backends` serve shows only once they are asked."""
    ids = {one.id for group in routes.deployments.values() for one in group}
    return lambda name: bool(config.backends) or name in routes.deployments or name in ids or bool(routes.expand(name))
