"""Reads the section `backends`: servers of models that the gateway finds the models of, and watches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from spanwell.config import Config
from spanwell.errors import ConfigError

KEYS: Final = (
    *("name", "url", "api_key", "models", "weight", "tags", "order", "max_parallel_requests"),
    *("usd_per_gpu_hour", "gpus", "capacity", "health", "scrape"),
)
HEALTH_KEYS: Final = ("path", "every_seconds", "timeout_seconds", "failures")
NAME: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]{0,127}")
LONGEST_KEY: Final = 4096
AUTO: Final = "auto"


@dataclass(frozen=True)
class Health:
    """How a backend is asked whether it works. It is away after `failures` in a row, and back after one answer."""

    path: str = "/health"
    every_seconds: float = 1.0
    timeout_seconds: float = 2.0
    failures: int = 2


@dataclass(frozen=True)
class Backend:
    """One server. `origin` is its address without a path; `base` is what an API's path stands behind.

    `models` are the names clients ask for, each with the name it is served under; None is whatever is served.
    """

    name: str
    address: str  # host:port
    origin: str
    base: str
    api_key: str = field(default="", repr=False)
    models: Mapping[str, str] | None = None
    weight: float = 1.0
    order: int | None = None
    tags: tuple[str, ...] = ()
    max_parallel_requests: int | None = None
    usd_per_gpu_hour: float | None = None
    gpus: int = 1
    capacity: float = 1.0
    health: Health = Health()
    scrape: bool = True

    @property
    def metrics_url(self) -> str:
        return self.origin + "/metrics"


def read_backends(config: Config) -> tuple[Backend, ...]:
    """Raises ConfigError naming the field and what is allowed."""
    read = [read_backend(item, f"{config.source}: backends[{index}]") for index, item in enumerate(config.backends)]
    names = [backend.name for backend in read]
    twice = next((index for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ConfigError(f"{config.source}: backends[{twice}].name: {names[twice]!r} stands above; names must differ")
    return tuple(read)


def read_backend(item: Mapping[str, Any], where: str) -> Backend:
    """Raises ConfigError naming the field and what is allowed."""
    _check_keys(item, KEYS, where)
    origin, base, address = _read_url(item, where)
    price = item.get("usd_per_gpu_hour")
    return Backend(
        name=_read_name(item, address, where),
        address=address,
        origin=origin,
        base=base,
        api_key=_read_key(item, where),
        models=_read_models(item.get("models", AUTO), where),
        weight=_number(item, "weight", 1.0, where, least=0.0),
        order=_whole(item, "order", where),
        tags=_read_tags(item, where),
        max_parallel_requests=_whole(item, "max_parallel_requests", where),
        usd_per_gpu_hour=None if price is None else _number(item, "usd_per_gpu_hour", 0.0, where),
        gpus=_whole(item, "gpus", where) or 1,
        capacity=_number(item, "capacity", 1.0, where),
        health=_read_health(item.get("health") or {}, f"{where}.health"),
        scrape=_read_scrape(item, where),
    )


def _check_keys(item: Any, allowed: tuple[str, ...], where: str) -> None:
    if not isinstance(item, dict):
        raise ConfigError(f"{where}: must be a mapping")
    unknown = [key for key in item if key not in allowed]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: not known; allowed are {', '.join(allowed)}")


def _read_url(item: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """Origin, the base of the API, and host:port."""
    url = item.get("url")
    text = url.rstrip("/") if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        (parts.hostname or "").encode("idna")
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isascii() or not text.isprintable():
        raise ConfigError(f"{where}.url: write the server's address, such as http://gpu-0:8000")
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in ("", "/v1") or " " in text:
        raise ConfigError(
            f"{where}.url: write scheme, host and port alone, such as http://gpu-0:8000; a key is api_key"
        )
    origin = f"{parts.scheme}://{parts.netloc}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return origin, origin + "/v1", f"{host}:{port}"


def _read_name(item: Mapping[str, Any], address: str, where: str) -> str:
    name = item.get("name", address)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{where}.name: write letters, digits, dots, dashes and underscores, such as gpu-0")
    return name


def _read_key(item: Mapping[str, Any], where: str) -> str:
    key = item.get("api_key") or ""
    if not isinstance(key, str) or not key.isascii() or not key.isprintable() or " " in key or len(key) > LONGEST_KEY:
        raise ConfigError(f"{where}.api_key: write ASCII without spaces")
    return key


def _read_models(given: Any, where: str) -> dict[str, str] | None:
    if given == AUTO:
        return None
    named = dict(zip(given, given, strict=True)) if isinstance(given, list) and _are_names(given) else given
    if not isinstance(named, dict) or not named or not _are_names([*named, *named.values()]):
        raise ConfigError(f"{where}.models: write auto, a list of served names, or {{name clients ask: served name}}")
    return named


def _are_names(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value and value.isprintable() and "*" not in value for value in values)


def _read_tags(item: Mapping[str, Any], where: str) -> tuple[str, ...]:
    tags = item.get("tags") or []
    if not isinstance(tags, list) or not _are_names(tags):
        raise ConfigError(f"{where}.tags: write a list of words")
    return tuple(tags)


def _read_health(item: Any, where: str) -> Health:
    _check_keys(item, HEALTH_KEYS, where)
    path = item.get("path", Health.path)
    if not isinstance(path, str) or not re.fullmatch(r"/[!-~]*", path):
        raise ConfigError(f"{where}.path: write a path such as /health")
    return Health(
        path=path,
        every_seconds=_number(item, "every_seconds", Health.every_seconds, where, least=0.1),
        timeout_seconds=_number(item, "timeout_seconds", Health.timeout_seconds, where, least=0.1),
        failures=_whole(item, "failures", where) or Health.failures,
    )


def _read_scrape(item: Mapping[str, Any], where: str) -> bool:
    scrape = item.get("scrape", True)
    if not isinstance(scrape, bool):
        raise ConfigError(f"{where}.scrape: write true or false")
    return scrape


def _number(item: Mapping[str, Any], key: str, default: float, where: str, *, least: float = 1e-9) -> float:
    value = item.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e9:
        raise ConfigError(f"{where}.{key}: write a number {'above 0' if least < 0.1 else f'from {least} on'}")
    return float(value)


def _whole(item: Mapping[str, Any], key: str, where: str) -> int | None:
    value = item.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 31:
        raise ConfigError(f"{where}.{key}: write a whole number above 0")
    return value
