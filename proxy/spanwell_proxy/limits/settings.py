"""Reads the section `limits`: what every key, team and user may use that sets nothing itself, and what models may."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_proxy.caller import PUSD, Budget, Limits, Owner, Period
from spanwell_proxy.config.fields import read_mapping, read_number, read_text, read_whole
from spanwell_proxy.limits.engine import OnFailure

KEYS: Final = (
    *("keys", "teams", "users", "models", "tags", "gateway"),
    *("downgrade", "wait_seconds", "max_output_tokens", "on_store_failure"),
)
LIMIT_KEYS: Final = ("budgets", "rpm", "tpm", "concurrency")
BUDGET_KEYS: Final = ("usd", "period", "soft", "downgrade")
OWNERS: Final[Mapping[Owner, str]] = {"key": "keys", "team": "teams", "user": "users"}
NO_LIMITS: Final = Limits()


@dataclass(frozen=True)
class LimitSettings:
    """`each` holds for every key, team or user that sets none of its own; `downgrade` says where soft limits lead."""

    each: Mapping[Owner, Limits] = field(default_factory=dict)
    models: Mapping[str, Limits] = field(default_factory=dict)
    tags: Mapping[str, Limits] = field(default_factory=dict)
    gateway: Limits = NO_LIMITS
    downgrade: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 10.0
    max_output_tokens: int = 16_384
    on_failure: OnFailure = "closed"


def read_limit_settings(config: Config) -> LimitSettings:
    """Raises ConfigError naming the key and what is allowed."""
    section, where = config.limits, f"{config.source}: limits"
    _check_keys(section, KEYS, where)
    downgrade = read_mapping(section, "downgrade", where)
    for name, target in downgrade.items():
        if not isinstance(target, str) or not target:
            raise ConfigError(f"{where}.downgrade.{name}: write the model_name that answers instead")
    on_failure = section.get("on_store_failure", "closed")
    if on_failure not in get_args(OnFailure):
        raise ConfigError(f"{where}.on_store_failure: write {' or '.join(get_args(OnFailure))}")
    tokens = read_whole(section, "max_output_tokens", where)
    return LimitSettings(
        each={owner: _read_limits(section, name, where) for owner, name in OWNERS.items() if section.get(name)},
        models=_read_named(section, "models", where),
        tags=_read_named(section, "tags", where),
        gateway=_read_limits(section, "gateway", where),
        downgrade=downgrade,
        wait_s=read_number(section, "wait_seconds", 10.0, where),
        max_output_tokens=16_384 if tokens is None else tokens,
        on_failure=on_failure,
    )


def fill(own: Limits, each: Limits) -> Limits:
    """`own`, and where it says nothing what holds for each."""
    return Limits(
        own.budgets or each.budgets,
        each.rpm if own.rpm is None else own.rpm,
        each.tpm if own.tpm is None else own.tpm,
        each.concurrency if own.concurrency is None else own.concurrency,
    )


def _read_named(section: Mapping[str, Any], key: str, where: str) -> dict[str, Limits]:
    named = read_mapping(section, key, where)
    return {str(name): _read_limits(named, name, f"{where}.{key}") for name in named}


def _read_limits(section: Mapping[str, Any], key: str, where: str) -> Limits:
    given, where = read_mapping(section, key, where), f"{where}.{key}"
    _check_keys(given, LIMIT_KEYS, where)
    budgets = given.get("budgets") or []
    if not isinstance(budgets, list) or not all(isinstance(budget, dict) for budget in budgets):
        raise ConfigError(f"{where}.budgets: write a list such as [{{usd: 5, period: day}}]")
    return Limits(
        tuple(_read_budget(budget, f"{where}.budgets[{at}]") for at, budget in enumerate(budgets)),
        read_whole(given, "rpm", where),
        read_whole(given, "tpm", where),
        read_whole(given, "concurrency", where),
    )


def _read_budget(budget: Mapping[str, Any], where: str) -> Budget:
    _check_keys(budget, BUDGET_KEYS, where)
    try:
        usd = Decimal(str(budget.get("usd")))
    except InvalidOperation:
        usd = Decimal(-1)
    if not 0 <= usd <= 1_000_000:
        raise ConfigError(f"{where}.usd: write US dollars, at most a million")
    if budget.get("period") not in get_args(Period):
        raise ConfigError(f"{where}.period: write {', '.join(get_args(Period))}")
    soft = budget.get("soft")
    if soft is not None and not (isinstance(soft, int | float) and 0 < soft <= 1):
        raise ConfigError(f"{where}.soft: write a share of the budget between 0 and 1")
    return Budget(budget["period"], int(usd * PUSD), soft, read_text(budget, "downgrade", where))


def _check_keys(section: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    unknown = [key for key in section if key not in allowed]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(allowed)}")
