"""Reads the section `cache`, but for its part `semantic`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from spanwell.config import Config
from spanwell.errors import ConfigError

Scope = Literal["key", "team", "all"]
KEYS: Final = ("enabled", "opt_in", "ttl_seconds", "max_mb", "memory_mb", "scope", "semantic")
MB: Final = 1024 * 1024


@dataclass(frozen=True)
class CacheSettings:
    """How long an answer is good for, how much is kept, and who shares it. `semantic` is read by its own package."""

    ttl_s: float = 600.0
    max_bytes: int = 256 * MB
    memory_bytes: int = 16 * MB  # of it, in each worker
    scope: Scope = "key"
    opt_in: bool = False  # only for requests that ask for it
    semantic: Mapping[str, Any] = field(default_factory=dict)


def read_cache_settings(config: Config) -> CacheSettings | None:
    """None where the cache is off: without a `cache` section it is. Raises ConfigError."""
    section, where = config.cache, f"{config.source}: cache"
    unknown = [key for key in section if key not in KEYS]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: unknown key; allowed are {', '.join(KEYS)}")
    for key in ("enabled", "opt_in"):
        if not isinstance(section.get(key, True), bool):
            raise ConfigError(f"{where}.{key}: write true or false")
    scope, semantic = section.get("scope", "key"), section.get("semantic") or {}
    if scope not in get_args(Scope):
        raise ConfigError(f"{where}.scope: write one of {', '.join(get_args(Scope))}")
    if not isinstance(semantic, dict):
        raise ConfigError(f"{where}.semantic: must be a mapping")
    if not section or not section.get("enabled", True):
        return None
    return CacheSettings(
        ttl_s=_number(section, "ttl_seconds", 600, where),
        max_bytes=int(_number(section, "max_mb", 256, where) * MB),
        memory_bytes=int(_number(section, "memory_mb", 16, where) * MB),
        scope=scope,
        opt_in=section.get("opt_in", False),
        semantic=semantic,
    )


def _number(section: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigError(f"{where}.{key}: write a number above nought")
    return float(value)
