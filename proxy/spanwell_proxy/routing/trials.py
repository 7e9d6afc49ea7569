"""Reads one entry of `routing.experiments`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from spanwell.errors import ConfigError
from spanwell_proxy.config.fields import read_mapping, read_number, read_text, read_whole
from spanwell_proxy.routing.experiments import UNITS, Arm, Experiment, Guardrail, Prompt, Unit

EXPERIMENT: Final = ("model", "control", "arms", "stick", "guardrails", "alpha", "least")
ARM: Final = ("weight", "model", "deployment", "params", "prompt", "shadow")
METRICS: Final = ("errors", "latency", "ttft", "cost")
MARGINS: Final = {"errors": 0.01, "latency": 0.1, "ttft": 0.1, "cost": 0.1}
SCORE_MARGIN: Final = 0.02
# What a request is about and where it goes is not for an arm to change.
KEPT: Final = frozenset(("model", "messages", "input", "prompt", "stream", "api_base", "api_key", "headers"))


def read_experiment(name: str, item: Any, where: str) -> Experiment:
    """The control comes first. Raises ConfigError naming the key and what is allowed."""
    if not isinstance(item, dict):
        raise ConfigError(f"{where}: must be a mapping")
    allow_keys(item, EXPERIMENT, where)
    stick = read_text(item, "stick", where) or "user"
    if stick not in UNITS:
        raise ConfigError(f"{where}.stick: {stick!r} is not known; allowed are {', '.join(UNITS)}")
    alpha = read_number(item, "alpha", 0.05, where)
    if not 0 < alpha < 1:
        raise ConfigError(f"{where}.alpha: write a number between 0 and 1, such as 0.05")
    experiment = Experiment(
        name=name,
        model=_read_model(item, where),
        arms=_read_arms(item, where),
        stick=cast(Unit, stick),
        guardrails=_read_guardrails(item, where),
        alpha=alpha,
        least=max(2, read_whole(item, "least", where) or 50),
    )
    if len(experiment.live) < 1 or experiment.live[0] is not experiment.arms[0]:
        raise ConfigError(f"{where}.arms.{experiment.arms[0].name}: the control needs a weight")
    return experiment


def allow_keys(section: Any, allowed: Sequence[str], where: str) -> None:
    """Raises ConfigError for a key that means nothing."""
    unknown = [str(key) for key in section if key not in allowed]
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(allowed)}")


def _read_model(item: Mapping[str, Any], where: str) -> str:
    model = read_text(item, "model", where)
    if not model:
        raise ConfigError(f"{where}.model: write the model name whose calls take part")
    return model


def _read_arms(item: Mapping[str, Any], where: str) -> tuple[Arm, ...]:
    arms = read_mapping(item, "arms", where)
    if len(arms) < 2:
        raise ConfigError(f"{where}.arms: write at least two, the control first")
    control = read_text(item, "control", where) or next(iter(arms))
    if control not in arms:
        raise ConfigError(f"{where}.control: {control!r} is none of the arms: {', '.join(map(str, arms))}")
    names = [control, *(name for name in arms if name != control)]
    return tuple(_read_arm(str(name), read_mapping(arms, name, where), f"{where}.arms.{name}") for name in names)


def _read_arm(name: str, item: Mapping[str, Any], where: str) -> Arm:
    allow_keys(item, ARM, where)
    params, shadow = read_mapping(item, "params", where), read_number(item, "shadow", 0.0, where)
    forbidden = sorted(KEPT & params.keys())
    if forbidden:
        raise ConfigError(f"{where}.params.{forbidden[0]}: an arm may not change this")
    if shadow > 1 or (shadow and item.get("weight")):
        raise ConfigError(f"{where}.shadow: write a share between 0 and 1, and no weight: copies are not answered")
    return Arm(
        name=name,
        weight=0.0 if shadow else read_number(item, "weight", 1.0, where),
        model=read_text(item, "model", where),
        deployment=read_text(item, "deployment", where),
        params=params,
        prompt=_read_prompt(read_mapping(item, "prompt", where), f"{where}.prompt") if item.get("prompt") else None,
        shadow=shadow,
    )


def _read_prompt(item: Mapping[str, Any], where: str) -> Prompt:
    allow_keys(item, ("name", "version", "system"), where)
    system = item.get("system") or ""
    if not isinstance(system, str):
        raise ConfigError(f"{where}.system: write text")
    return Prompt(read_text(item, "name", where), str(item.get("version") or ""), system)


def _read_guardrails(item: Mapping[str, Any], where: str) -> tuple[Guardrail, ...]:
    listed = item.get("guardrails") or []
    if not isinstance(listed, list):
        raise ConfigError(f"{where}.guardrails: write a list such as [{{metric: errors, margin: 0.02}}]")
    return tuple(_read_guardrail(one, f"{where}.guardrails[{index}]") for index, one in enumerate(listed))


def _read_guardrail(item: Any, where: str) -> Guardrail:
    item = {"metric": item} if isinstance(item, str) else item
    if not isinstance(item, dict):
        raise ConfigError(f"{where}: must be a mapping")
    allow_keys(item, ("metric", "margin"), where)
    metric = read_text(item, "metric", where)
    if metric not in METRICS and not (metric.startswith("score:") and metric[6:]):
        raise ConfigError(f"{where}.metric: {metric!r} is not known; allowed are {', '.join(METRICS)} and score:NAME")
    return Guardrail(metric, read_number(item, "margin", MARGINS.get(metric, SCORE_MARGIN), where))
