"""Reads `gpu_hours`, and `backends` that name a price: models on processors that are paid by the hour."""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from spanwell.backends import Backend, read_backends
from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_collector.prices.terms import GPU

KEYS: Final = ("model", "deployment", "instance", "usd_per_hour", "gpus", "capacity", "project", "metrics_url")
MOST_USD: Final = 100_000  # an hour
NAME: Final = r"[0-9A-Za-z_-]{1,63}"
URL: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{NAME}(?:\.{NAME})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?(?:/[!-~]*)?"
)
PORTS: Final = {"http": 80, "https": 443}


class Pool(NamedTuple):
    """Processors that serve one model of a project. `usd` is what all of them cost an hour."""

    project: str
    model: str  # empty: any
    deployment: str  # whose calls: its own, and of what is named after it, as in `gpu-0/model`; empty: any
    instance: str  # whose measurements; empty: any
    metrics_url: str  # where the worker finds them; empty: somebody sends them
    usd: Decimal
    capacity: Decimal
    version: str


def read_pools(config: Config, project: str) -> list[Pool]:
    """Raises ConfigError naming the field and what is allowed; `project` is meant where an item names none."""
    pools = [
        _read(item, f"{config.source}: gpu_hours[{index}]", project) for index, item in enumerate(config.gpu_hours)
    ]
    pools += [_of_backend(backend, project) for backend in read_backends(config) if backend.usd_per_gpu_hour]
    places = [(pool.project, pool.deployment, pool.model) for pool in pools]
    twice = next((index for index, place in enumerate(places) if place in places[:index]), None)
    if twice is not None:
        raise ConfigError(
            f"{config.source}: gpu_hours[{twice}]: the same model and deployment stands above: add up gpus"
        )
    return pools


def _of_backend(backend: Backend, project: str) -> Pool:
    """Whatever it serves shares its processors."""
    usd = Decimal(str(backend.usd_per_gpu_hour)) * backend.gpus
    if usd > MOST_USD:
        raise ConfigError(f"backend {backend.name}.usd_per_gpu_hour: {usd} an hour; write at most {MOST_USD}")
    capacity = Decimal(str(backend.capacity))
    return Pool(
        project=project,
        model="",
        deployment=backend.name,
        instance=backend.address,
        metrics_url=backend.metrics_url if backend.scrape else "",
        usd=usd,
        capacity=capacity,
        version=_version(usd, capacity),
    )


def _version(usd: Decimal, capacity: Decimal) -> str:
    return GPU + hashlib.sha256(f"{usd.normalize()} {capacity.normalize()}".encode()).hexdigest()[:12]


def _read(item: Mapping[str, Any], where: str, project: str) -> Pool:
    unknown = [key for key in item if key not in KEYS]
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: not known; allowed are {', '.join(KEYS)}")
    model = _text(item, "model", where)
    if not model:
        raise ConfigError(f"{where}.model: write the name that spans carry")
    usd = _number(item, "usd_per_hour", None, where) * _number(item, "gpus", 1, where)
    if usd > MOST_USD:
        raise ConfigError(f"{where}.usd_per_hour: {usd} an hour; write at most {MOST_USD}")
    capacity = _number(item, "capacity", 1, where)
    metrics_url, address = _address(item, where)
    return Pool(
        project=_text(item, "project", where) or project,
        model=model,
        deployment=_text(item, "deployment", where),
        instance=_text(item, "instance", where) or address,
        metrics_url=metrics_url,
        usd=usd,
        capacity=capacity,
        version=_version(usd, capacity),
    )


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{where}.{key}: write text, on one line")
    return value


def _address(item: Mapping[str, Any], where: str) -> tuple[str, str]:
    """`metrics_url` and its `host:port`; both are empty where it is left out."""
    text = _text(item, "metrics_url", where)
    if not text:
        return "", ""
    found = URL.fullmatch(text)
    if found is None or not 0 < (port := int(found["port"] or PORTS[found["scheme"]])) < 65536:
        raise ConfigError(f"{where}.metrics_url: write http://host:port/metrics, or https; no user name in it")
    return text, f"{found['host']}:{port}"


def _number(item: Mapping[str, Any], key: str, default: int | None, where: str) -> Decimal:
    try:
        value = Decimal(str(item.get(key, default)))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise ConfigError(f"{where}.{key}: write a number above 0")
    return value
