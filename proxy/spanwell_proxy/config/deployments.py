"""Reads one entry of `model_list` into a deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from math import ceil
from typing import Any, Final
from urllib.parse import urlsplit

from spanwell.errors import ConfigError
from spanwell.overrides import Override, pick_rates, read_price
from spanwell.pieces import read_piece_rates
from spanwell.pricing import Price, PriceTable
from spanwell.providers import name_provider
from spanwell.rates import RATE
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_text, read_whole, read_words
from spanwell_proxy.config.litellm_keys import explain
from spanwell_proxy.config.providers import Provider, find_provider, fixed_headers, locate, split_model
from spanwell_proxy.config.routes import LAST, Address, Capacity, Deployment

DEFAULT_TIMEOUT_S: Final = 600.0  # OpenAI's clients wait as long
# What the hot lane does itself is not for LiteLLM.
OWN_PARAMS: Final = frozenset(
    (
        *("weight", "order", "tags", "rpm", "tpm", "max_parallel_requests", "timeout", "stream_timeout"),
        *("max_retries", "num_retries", "cooldown_time", "litellm_credential_name", "max_input_tokens", "mode"),
        *("custom_llm_provider", "extra_body", "additional_drop_params"),
    )
)


@dataclass(frozen=True)
class Context:
    """What every entry is read with. `settings` are the router's."""

    settings: Mapping[str, Any] = field(repr=False)
    where: str  # of the settings
    environ: Mapping[str, str] = field(repr=False)
    prices: PriceTable = field(repr=False)
    overrides: tuple[Override, ...] = field(repr=False)
    credentials: Mapping[str, Mapping[str, Any]] = field(repr=False)
    workers: int  # that share what a deployment takes
    for_litellm: Mapping[str, Any]  # of `litellm_settings`, what its lane is told with every call


@dataclass(frozen=True)
class Entry:
    """One item of `model_list`. `number` counts those of its name."""

    item: Mapping[str, Any]
    where: str
    number: int
    context: Context

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """`litellm_params`, over the credential that it names and what holds for all."""
        own = read_mapping(self.item, "litellm_params", self.where)
        settings, where = self.context.settings, self.context.where
        shared = read_mapping(settings, "default_litellm_params", where)
        given = {key: value for key, value in own.items() if value is not None}
        return {**shared, **self._find_credential(own), **given}

    @cached_property
    def info(self) -> Mapping[str, Any]:
        return read_mapping(self.item, "model_info", self.where)

    @property
    def name(self) -> str:
        return str(self.item["model_name"])

    def _find_credential(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        name = read_text(own, "litellm_credential_name", f"{self.where}.litellm_params")
        if not name:
            return {}
        if name not in self.context.credentials:
            raise ConfigError(
                f"{self.where}.litellm_params.litellm_credential_name: {name[:80]!r} is no credential_name of "
                "credential_list"
            )
        return self.context.credentials[name]


def check_name(item: Mapping[str, Any], where: str) -> str:
    """The name of an entry. Raises ConfigError."""
    name = read_text(item, "model_name", where)
    if not name or name.count("*") > 1:
        raise ConfigError(f"{where}.model_name: write the name clients ask for; one * in it stands for any name")
    model = read_text(read_mapping(item, "litellm_params", where), "model", where)
    if model.count("*") > name.count("*"):
        raise ConfigError(f"{where}.litellm_params.model: write provider/* with a model_name that has a * too")
    return name


def read_deployment(entry: Entry, name: str, caught: str = "") -> Deployment:
    """`caught` is what the `*` of the entry's name stands for. Raises ConfigError."""
    params, info, where = entry.params, entry.info, f"{entry.where}.litellm_params"
    prefix, model = _split(params, caught, where)
    known = find_provider(prefix, params)
    api_key = read_text(params, "api_key", where) or _find_key(prefix, params, entry.context.environ)
    timeout_s, first_byte_timeout_s = _read_timeouts(entry)
    mocked = "mock_response" in params  # it is LiteLLM that answers then
    provider = known.name if known else name_provider(prefix)
    return Deployment(
        id=str(info.get("id") or f"{entry.name}-{entry.number}"),
        route=entry.name,
        model_name=name,
        provider=provider,
        model=model,
        url=_read_address(params, prefix, model, known, where),
        api_key=api_key,
        weight=_read_weight(params, where),
        timeout_s=timeout_s,
        first_byte_timeout_s=first_byte_timeout_s,
        price=_find_price(entry, prefix, model),
        piece_rates=_find_pieces(entry, prefix, model),
        simulated=mocked or read_flag(info, "simulated", f"{entry.where}.model_info"),
        speaks=known.speaks if known and not mocked else frozenset(),
        params=_for_lane(entry, f"{prefix}/{model}" if prefix else model),
        headers=fixed_headers(known, api_key, params, entry.where),
        batch_api=_read_batch_api(entry, known),
        overrides=tuple(one for one in entry.context.overrides if one.provider in ("", provider)),
        **_read_routing(entry, where),
    )


def _split(params: Mapping[str, Any], caught: str, where: str) -> tuple[str, str]:
    whole = read_text(params, "model", where).replace("*", caught)
    provider = read_text(params, "custom_llm_provider", where)
    prefix, model = (provider, whole.removeprefix(provider + "/")) if provider else split_model(whole)
    if not model:
        raise ConfigError(f"{where}.model: write provider/model, for example hosted_vllm/my-model")
    return prefix or ("openai" if params.get("api_base") else ""), model


def _find_key(prefix: str, params: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """As LiteLLM does; but the key for a provider's own address is never sent to another one."""
    return "" if params.get("api_base") else environ.get(f"{prefix.upper()}_API_KEY", "")


def _read_timeouts(entry: Entry) -> tuple[float, float]:
    settings, at = entry.context.settings, entry.context.where
    where = f"{entry.where}.litellm_params"
    timeout_s = read_number(entry.params, "timeout", read_number(settings, "timeout", DEFAULT_TIMEOUT_S, at), where)
    first_byte_s = read_number(settings, "stream_timeout", timeout_s, at)
    return timeout_s, read_number(entry.params, "stream_timeout", first_byte_s, where)


def _find_price(entry: Entry, prefix: str, model: str) -> Price | None:
    """The entry's own rates; else those that the list has for its base model, or for its model."""
    if own := pick_rates(entry.params, entry.info):
        return read_price(own, entry.where)
    base = read_text(entry.info, "base_model", f"{entry.where}.model_info")
    if base:
        based = entry.context.prices.find(*(split_model(base) if "/" in base else (prefix, base)))
        return based or entry.context.prices.find(prefix, base)
    return entry.context.prices.find(prefix, model)


def _find_pieces(entry: Entry, prefix: str, model: str) -> dict[str, Decimal]:
    own = read_piece_rates({**entry.info, **entry.params})
    return own or entry.context.prices.find_pieces(prefix, model)


def _read_routing(entry: Entry, where: str) -> dict[str, Any]:
    """What routing may go by, and how a request is changed for this deployment."""
    params, info, settings = entry.params, entry.info, entry.context.settings
    order, parallel = read_whole(params, "order", where), read_whole(params, "max_parallel_requests", where)
    if parallel is None:
        parallel = read_whole(settings, "default_max_parallel_requests", entry.context.where)
    longest = read_whole(params, "max_input_tokens", where)
    cooldown = params.get("cooldown_time")
    return {
        "order": LAST if order is None else order,
        "tags": read_words(params, "tags", where),
        "capacity": _share(entry, read_whole(params, "rpm", where), read_whole(params, "tpm", where), parallel),
        "context_tokens": longest or read_whole(info, "max_input_tokens", f"{entry.where}.model_info"),
        "output_tokens": _read_longest_answer(entry),
        "mode": read_text(info, "mode", f"{entry.where}.model_info") or read_text(params, "mode", where),
        "defaults": _read_defaults(params, where),
        "dropped": frozenset(read_words(params, "additional_drop_params", where)),
        "cooldown_s": None if cooldown is None else read_number(params, "cooldown_time", 0, where),
        "backend": str(entry.item.get("backend", "")),
    }


def _read_batch_api(entry: Entry, provider: Provider | None) -> bool:
    where = f"{entry.where}.model_info"
    if not read_flag(entry.info, "batch_api", where):
        return False
    is_azure_model = provider is not None and provider.name == "azure.ai.openai" and "responses" not in provider.speaks
    if provider is None or "chat" not in provider.speaks or "mock_response" in entry.params or is_azure_model:
        told = "only a backend that speaks OpenAI's API itself has one that is known here"
        raise ConfigError(f"{where}.batch_api: {told}; of Azure, with api_version: v1")
    return True


def _read_longest_answer(entry: Entry) -> int | None:
    """The most tokens that its answers have: as the file says, else as the price list does."""
    where, listed = f"{entry.where}.model_info", entry.context.prices.entries
    own = read_whole(entry.info, "max_output_tokens", where) or read_whole(entry.info, "max_tokens", where)
    whole = str(entry.params.get("model", ""))
    known = listed.get(whole) or listed.get(whole.partition("/")[2]) or {}
    most = known.get("max_output_tokens")
    return own or (most if isinstance(most, int) and most > 0 else None)


def _read_weight(params: Mapping[str, Any], where: str) -> float:
    """As LiteLLM does: who names no weight is asked by what it takes a minute."""
    key = next((key for key in ("weight", "rpm", "tpm") if params.get(key) is not None), "weight")
    return read_number(params, key, 1.0, where)


def _share(entry: Entry, *counts: int | None) -> Capacity:
    """A worker's part of each, at least one."""
    workers = entry.context.workers
    return Capacity(*(None if count is None else ceil(count / workers) for count in counts))


def _read_defaults(params: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is no setting of LiteLLM's is for the model, such as a temperature."""
    given = {key: value for key, value in params.items() if explain("litellm_params", key) == ""}
    return {**given, **read_mapping(params, "extra_body", where)}


def _for_lane(entry: Entry, model: str) -> dict[str, Any]:
    own = {key: value for key, value in entry.params.items() if key not in OWN_PARAMS and not RATE.fullmatch(key)}
    return {**entry.context.for_litellm, **own, "model": model}


def _read_address(params: Mapping[str, Any], prefix: str, model: str, provider: Provider | None, where: str) -> Address:
    base = read_text(params, "api_base", where) or (provider.api_base if provider else "")
    located, query = locate(prefix, base, model, params) if provider else (base.rstrip("/"), "")
    parts = urlsplit(located)
    if provider and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query):
        raise ConfigError(f"{where}.api_base: write a URL such as http://127.0.0.1:8000/v1")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        (parts.hostname or "").encode("idna")  # else the first call to it would find out
    except ValueError as error:
        raise ConfigError(f"{where}.api_base: {error}") from error
    origin = f"{parts.scheme}://{parts.netloc}"
    return Address(parts.scheme, origin, parts.path, parts.hostname or "", port, query)
