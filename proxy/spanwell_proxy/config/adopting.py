"""Settings of LiteLLM's that Spanwell has under another name: its cache, limits and Redis, and what it does not log."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_text, read_whole
from spanwell_proxy.config.routes import Ignored

REDIS_TYPES: Final = ("redis", "redis-semantic", "valkey-semantic")
SEMANTIC: Final = "an exact cache is on; for one by meaning, write cache.semantic"
CACHE_PARAMS: Final = ("type", "mode", "ttl", "host", "port", "password", "username", "db", "ssl", "url")
PERIODS: Final = {
    "1h": "hour",
    "60m": "hour",
    "24h": "day",
    "1d": "day",
    "30d": "month",
    "31d": "month",
    "1mo": "month",
}
REDIS_KEYS: Final = ("url", "host", "port", "username", "password", "db", "ssl")


def adopt_sections(config: Config) -> tuple[Config, tuple[Ignored, ...]]:
    """What the file says in Spanwell's own sections counts first. Also what is different from LiteLLM's here."""
    config, differences = _adopt_cache(config)
    return replace(config, limits=_adopt_limits(config) | config.limits), differences


def _adopt_cache(config: Config) -> tuple[Config, tuple[Ignored, ...]]:
    where = f"{config.source}: litellm_settings"
    if config.cache or not read_flag(config.litellm_settings, "cache", where):
        return config, ()
    params = read_mapping(config.litellm_settings, "cache_params", where)
    section: dict[str, Any] = {"enabled": True}
    if params.get("mode") == "default_off":
        section["opt_in"] = True
    ttls = [params.get("ttl"), *(config.litellm_settings.get(f"default_{kind}_ttl") for kind in ("redis", "in_memory"))]
    ttl = next((ttl for ttl in ttls if ttl is not None), None)
    if ttl is not None:
        section["ttl_seconds"] = read_number({"ttl": ttl}, "ttl", 0, f"{where}.cache_params") or 1
    return replace(config, cache=section), tuple(_differences(params))


def _adopt_limits(config: Config) -> dict[str, Any]:
    """Calls at a time of a key and of all, and budgets of all and of a user."""
    general, where = config.general_settings, f"{config.source}: general_settings"
    found: dict[str, dict[str, Any]] = {
        "keys": {"concurrency": read_whole(general, "max_parallel_requests", where)},
        "gateway": {
            "concurrency": read_whole(general, "global_max_parallel_requests", where),
            "budgets": _read_budget(config, "max_budget", "budget_duration"),
        },
        "users": {"budgets": _read_budget(config, "max_end_user_budget", "budget_duration")},
    }
    told = {name: {key: value for key, value in limits.items() if value} for name, limits in found.items()}
    return {name: limits for name, limits in told.items() if limits}


def _read_budget(config: Config, key: str, duration: str) -> list[dict[str, Any]]:
    settings, where = config.litellm_settings, f"{config.source}: litellm_settings"
    if settings.get(key) is None:
        return []
    period = PERIODS.get(str(settings[duration])) if settings.get(duration) else "total"
    if period is None:
        raise ConfigError(f"{where}.{duration}: write one of {', '.join(PERIODS)}")
    return [{"usd": Decimal(str(read_number(settings, key, 0, where))), "period": period}]


def adopt_settings(settings: Settings, config: Config) -> Settings:
    """The environment's own word counts before the file's."""
    url = settings.redis_url or _find_redis(config)
    silent = read_flag(config.litellm_settings, "turn_off_message_logging", f"{config.source}: litellm_settings")
    return replace(settings, redis_url=url, capture_content=settings.capture_content and not silent)


def _differences(params: Mapping[str, Any]) -> list[Ignored]:
    kind = str(params.get("type", "redis"))
    found = [Ignored("litellm_settings.cache_params.type", SEMANTIC)] if kind.endswith("semantic") else []
    if kind not in ("local", "disk", *REDIS_TYPES) and not found:
        found = [Ignored("litellm_settings.cache_params.type", "answers are kept in memory and SQLite, or in Redis")]
    reason = "an answer belongs to the key that asked, and every API whose answers can be cached is"
    other = [key for key in params if key not in CACHE_PARAMS]
    return found + [Ignored(f"litellm_settings.cache_params.{key}", reason) for key in other]


def _find_redis(config: Config) -> str:
    """Wherever LiteLLM's file may name it; empty where it does not."""
    router, general = config.router_settings, config.general_settings
    params = config.litellm_settings.get("cache_params") or {}
    places = [
        {key: router.get(f"redis_{key}") for key in REDIS_KEYS},
        general.get("coordination_redis") or {},
        params if params.get("type", "redis") in REDIS_TYPES and config.litellm_settings.get("cache") else {},
    ]
    if config.litellm_settings.get("cache") and params.get("type", "redis") in REDIS_TYPES:
        places.append({key: config.environ.get(f"REDIS_{key.upper()}") for key in REDIS_KEYS})
    return next((url for place in places if (url := _make_url(place, f"{config.source}: redis"))), "")


def _make_url(place: Mapping[str, Any], where: str) -> str:
    texts = {key: str(value) for key, value in place.items() if value is not None}
    if "url" in texts:
        return read_text(texts, "url", where)
    if "host" not in texts:
        return ""
    user = quote(texts.get("username", ""), safe="")
    secret = f"{user}:{quote(texts['password'], safe='')}@" if texts.get("password") else ""
    scheme = "rediss" if read_flag(texts, "ssl", where) else "redis"
    return f"{scheme}://{secret}{texts['host']}:{texts.get('port', '6379')}/{texts.get('db', '0')}"
