"""Settings of LiteLLM's that Spanwell has under another name: its cache, its Redis, and what it does not log."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from spanwell.config import Config
from spanwell.settings import Settings
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_text
from spanwell_proxy.config.routes import Ignored

REDIS_TYPES: Final = ("redis", "redis-semantic", "valkey-semantic")
SEMANTIC: Final = "an exact cache is on; for one by meaning, write cache.semantic"
CACHE_PARAMS: Final = ("type", "ttl", "host", "port", "password", "username", "db", "ssl", "url")
REDIS_KEYS: Final = ("url", "host", "port", "username", "password", "db", "ssl")


def adopt_cache(config: Config) -> tuple[Config, tuple[Ignored, ...]]:
    """A section `cache` of the file's own counts alone. Also what of LiteLLM's cache is different here."""
    where = f"{config.source}: litellm_settings"
    if config.cache or not read_flag(config.litellm_settings, "cache", where):
        return config, ()
    params = read_mapping(config.litellm_settings, "cache_params", where)
    section: dict[str, Any] = {"enabled": True}
    if params.get("ttl") is not None:
        section["ttl_seconds"] = read_number(params, "ttl", 0, f"{where}.cache_params") or 1
    return replace(config, cache=section), tuple(_differences(params))


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
