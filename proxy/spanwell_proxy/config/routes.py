"""Reads `model_list` and the settings of LiteLLM's format. Routes come from here and from nowhere else."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.overrides import Override, pick_rates, read_overrides, read_price
from spanwell.pricing import Price, PriceTable
from spanwell.providers import name_provider
from spanwell.rates import RATE
from spanwell_proxy.apis.api import Api
from spanwell_proxy.config.providers import find_provider, fixed_headers, locate, split_model

DEFAULT_TIMEOUT_S = 600.0  # OpenAI's clients wait as long
DEFAULT_RETRIES = 2

EXTRA_PARAMS = ("api_version", "extra_headers", "headers", "organization")
# Rates may stand among both, see RATE.
PARAMS = ("model", "api_base", "api_key", "weight", "timeout", "stream_timeout", *EXTRA_PARAMS)
OWN_PARAMS = ("weight", "timeout", "stream_timeout")  # not for LiteLLM
MODEL_INFO = ("id", "simulated")
LITELLM_SETTINGS = {"num_retries": "num_retries", "fallbacks": "fallbacks", "request_timeout": "timeout"}
CAUGHT = re.compile(r"[\w.:@-]+(/[\w.:@-]+)*")  # what `*` stands for: a name, never an address
ROUTER_SETTINGS = ("num_retries", "fallbacks", "timeout", "stream_timeout")
GENERAL_SETTINGS = ("master_key",)


@dataclass(frozen=True)
class Address:
    """Where a deployment is served. An API's own path stands between `path` and `query`."""

    scheme: str
    origin: str
    path: str
    host: str
    port: int
    query: str = ""


@dataclass(frozen=True, eq=False)
class Deployment:
    """One backend that answers for a model name. `params` are LiteLLM's, for the lane that translates.

    `price` is the deployment's own, else the list's; `overrides` are what the user says of its provider, oldest first.
    """

    id: str
    route: str  # `model_name` in the file: a wildcard, where the name is what it caught
    model_name: str
    provider: str
    model: str
    url: Address
    api_key: str = field(repr=False)
    weight: float
    timeout_s: float
    first_byte_timeout_s: float
    price: Price | None
    simulated: bool
    speaks: frozenset[str]  # the APIs it takes as they are; all others are translated for it
    params: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # that go with every request it takes as it is
    overrides: tuple[Override, ...] = field(repr=False)

    def is_translated(self, api: Api) -> bool:
        """Whether a request has to go through the LiteLLM lane."""
        return api.name not in self.speaks

    def find_price(self, at: datetime, answered: str = "") -> Price | None:
        """What a call of `at` costs: the user's word for the model that `answered`, else for the one asked."""
        for name in (answered, self.model, self.model_name) if self.overrides else ():
            said = [one.price for one in self.overrides if one.model == name and one.valid_from <= at]
            if said:
                return said[-1]
        return self.price


class Entry(NamedTuple):
    """One item of `model_list`, and what it is read with. `number` counts those of its name."""

    item: Mapping[str, Any]
    where: str
    number: int
    settings: Mapping[str, Any]
    environ: Mapping[str, str]
    prices: PriceTable
    overrides: tuple[Override, ...]


@dataclass(frozen=True)
class Routes:
    """Every model name with its deployments, and what to try when all of them fail.

    `wildcards` are names that end in `*`, the longest first, with what their deployments are made of.
    """

    deployments: Mapping[str, tuple[Deployment, ...]]
    wildcards: Mapping[str, tuple[Entry, ...]] = field(repr=False)
    fallbacks: Mapping[str, tuple[str, ...]]
    num_retries: int
    master_key: str = field(repr=False)
    ignored: tuple[str, ...]  # keys of the file that mean nothing here, to be named in the log

    @property
    def translated(self) -> bool:
        """Whether any deployment needs the LiteLLM lane."""
        groups = (*self.deployments.values(), *(self.expand(name[:-1] + "x") for name in self.wildcards))
        return any("chat" not in deployment.speaks for group in groups for deployment in group)

    def expand(self, name: str) -> tuple[Deployment, ...]:
        """What a wildcard has for `name`: the longest that fits. Nothing, where none does."""
        for start, entries in self.wildcards.items():
            caught = name.removeprefix(start[:-1])
            if name.startswith(start[:-1]) and CAUGHT.fullmatch(caught):
                return tuple(_read_deployment(entry, name, caught) for entry in entries)
        return ()


def read_routes(config: Config, prices: PriceTable) -> Routes:
    """Raises ConfigError naming the key and what is allowed."""
    named = {LITELLM_SETTINGS[key]: value for key, value in config.litellm_settings.items() if key in LITELLM_SETTINGS}
    settings = named | config.router_settings
    overrides = tuple(sorted(read_overrides(config), key=lambda one: one.valid_from))
    groups: dict[str, list[Entry]] = {}
    for index, item in enumerate(config.model_list):
        where = f"{config.source}: model_list[{index}]"
        group = groups.setdefault(_read_name(item, where), [])
        group.append(Entry(item, where, len(group), settings, config.environ, prices, overrides))
        _read_deployment(group[-1], "", "x")  # what is wrong with a wildcard's must show now
    plain = {name: group for name, group in groups.items() if not name.endswith("*")}
    return Routes(
        deployments={name: tuple(_read_deployment(entry, name) for entry in group) for name, group in plain.items()},
        wildcards={name: tuple(groups[name]) for name in sorted(groups.keys() - plain, key=len, reverse=True)},
        fallbacks=_read_fallbacks(settings.get("fallbacks") or [], set(groups), f"{config.source}: router_settings"),
        num_retries=int(_number(settings, "num_retries", DEFAULT_RETRIES, f"{config.source}: router_settings")),
        master_key=_text(config.general_settings, "master_key", f"{config.source}: general_settings"),
        ignored=tuple(_ignored_keys(config)),
    )


def _read_name(item: Mapping[str, Any], where: str) -> str:
    name = _text(item, "model_name", where)
    if not name or "*" in name[:-1]:
        raise ConfigError(f"{where}.model_name: write the name clients ask for; a * may only stand at its end")
    model = _text(_mapping(item, "litellm_params", where), "model", where)
    if "*" in model and (model.index("*") < len(model) - 1 or "/" not in model or not name.endswith("*")):
        raise ConfigError(f"{where}.litellm_params.model: write provider/* with a model_name that ends in *")
    return name


def _read_deployment(entry: Entry, name: str, caught: str = "") -> Deployment:
    """`caught` is what the name's wildcard stands for."""
    _, where, number, settings, environ, prices, overrides = entry
    params, info = _mapping(entry.item, "litellm_params", where), _mapping(entry.item, "model_info", where)
    whole = _text(params, "model", f"{where}.litellm_params").replace("*", caught)
    prefix, model = split_model(whole)
    if not model:
        raise ConfigError(f"{where}.litellm_params.model: write provider/model, for example hosted_vllm/my-model")
    prefix = prefix or ("openai" if params.get("api_base") else "")
    # As LiteLLM does; but the key for a provider's own address is never sent to another one.
    known = "" if params.get("api_base") else environ.get(f"{prefix.upper()}_API_KEY", "")
    known_provider = find_provider(prefix, params)
    provider = known_provider.name if known_provider else name_provider(prefix)
    api_key = _text(params, "api_key", f"{where}.litellm_params") or known
    timeout_s = _number(params, "timeout", _number(settings, "timeout", DEFAULT_TIMEOUT_S, where), where)
    return Deployment(
        id=str(info.get("id") or f"{entry.item['model_name']}-{number}"),
        route=entry.item["model_name"],
        model_name=name,
        provider=provider,
        model=model,
        url=_read_address(params, prefix, model, where),
        api_key=api_key,
        weight=_number(params, "weight", 1.0, where),
        timeout_s=timeout_s,
        first_byte_timeout_s=_number(
            params, "stream_timeout", _number(settings, "stream_timeout", timeout_s, where), where
        ),
        price=read_price(own, where) if (own := pick_rates(params, info)) else prices.find(prefix, model),
        simulated=info.get("simulated") is True,
        speaks=known_provider.speaks if known_provider else frozenset(),
        params={key: value for key, value in params.items() if key not in OWN_PARAMS and not RATE.fullmatch(key)}
        | {"model": whole},
        headers=fixed_headers(known_provider, api_key, params, where),
        overrides=tuple(one for one in overrides if one.provider in ("", provider)),
    )


def _read_address(params: Mapping[str, Any], prefix: str, model: str, where: str) -> Address:
    provider = find_provider(prefix, params)
    base = _text(params, "api_base", f"{where}.litellm_params") or (provider.api_base if provider else "")
    located, query = locate(prefix, base, model, params) if provider else (base.rstrip("/"), "")
    parts = urlsplit(located)
    if provider and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query):
        raise ConfigError(f"{where}.litellm_params.api_base: write a URL such as http://127.0.0.1:8000/v1")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ConfigError(f"{where}.litellm_params.api_base: {error}") from error
    origin = f"{parts.scheme}://{parts.netloc}"
    return Address(parts.scheme, origin, parts.path, parts.hostname or "", port, query)


def _read_fallbacks(listed: Any, known: set[str], where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ConfigError(f'{where}.fallbacks: write a list such as [{{"a": ["b"]}}]')
    fallbacks: dict[str, tuple[str, ...]] = {}
    for item in listed:
        for name, others in item.items():
            wild = tuple(model[:-1] for model in known if model.endswith("*"))
            unknown = [model for model in (name, *others) if model not in known and not model.startswith(wild)]
            if unknown:
                raise ConfigError(f"{where}.fallbacks: {unknown[0]!r} is no model_name of model_list")
            fallbacks[name] = tuple(others)
    return fallbacks


def _ignored_keys(config: Config) -> Iterator[str]:
    yield from config.unused
    for index, entry in enumerate(config.model_list):
        provider = find_provider(split_model(str(entry["litellm_params"]["model"]))[0], entry["litellm_params"])
        params = entry["litellm_params"] if provider and "chat" in provider.speaks else ()
        yield from (
            f"model_list[{index}].litellm_params.{key}"
            for key in params
            if key not in PARAMS and not RATE.fullmatch(key)
        )
        yield from (
            f"model_list[{index}].model_info.{key}"
            for key in entry.get("model_info") or ()
            if key not in MODEL_INFO and not RATE.fullmatch(key)
        )
        yield from (
            f"model_list[{index}].{key}" for key in entry if key not in ("model_name", "litellm_params", "model_info")
        )
    yield from (f"router_settings.{key}" for key in config.router_settings if key not in ROUTER_SETTINGS)
    yield from (f"general_settings.{key}" for key in config.general_settings if key not in GENERAL_SETTINGS)
    yield from (f"litellm_settings.{key}" for key in config.litellm_settings if key not in LITELLM_SETTINGS)


def _mapping(entry: Any, key: str, where: str) -> Mapping[str, Any]:
    value = entry.get(key) or {} if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise ConfigError(f"{where}.{key}: must be a mapping")
    return value


def _text(section: Mapping[str, Any], key: str, where: str) -> str:
    value = section.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{where}.{key}: write text, on one line")
    if key in ("api_base", "api_key") and (not value.isascii() or " " in value):
        raise ConfigError(f"{where}.{key}: write ASCII without spaces: it goes into a request's head")
    return value


def _number(section: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = section.get(key, default)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigError(f"{where}.{key}: write a number that is not negative")
    return float(value)
