"""Reads the user's own prices: the section `prices`, and the models of `model_list` that carry a price."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import Price
from spanwell.rates import KINDS, NAMES, RATE
from spanwell_collector.prices.terms import ANY, NOBODY, SELF_HOSTED, Key, Terms, name_provider, to_terms

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLION: Final = 1_000_000
PER_MILLION: Final = {f"{kind}_usd_per_million": NAMES[kind] for kind in KINDS if kind != "request"}
PER_REQUEST: Final = "usd_per_request"
WORDS: Final = ("model", "provider", "from", PER_REQUEST, *PER_MILLION)


class Override(NamedTuple):
    """What the user says of one model from a moment on."""

    key: Key
    valid_from: datetime
    terms: Terms
    version: str


def read_overrides(config: Config, known: Collection[Key]) -> list[Override]:
    """All of the user's prices. Raises ConfigError naming the field and what is allowed.

    `known` are the models that have a price in the list: one that names no provider overrides them all.
    """
    named = [
        override
        for index, item in enumerate(config.prices)
        for override in _read_item(item, f"{config.source}: prices[{index}]", known)
    ]
    served = [
        override
        for index, item in enumerate(config.model_list)
        for override in _read_deployment(item, f"{config.source}: model_list[{index}]")
    ]
    # The section is the more deliberate of the two, and comes last.
    return list({(override.key, override.valid_from): override for override in (*served, *named)}.values())


def _read_item(item: Mapping[str, Any], where: str, known: Collection[Key]) -> Iterator[Override]:
    unknown = [key for key in item if key not in WORDS and not RATE.fullmatch(str(key))]
    if unknown:
        raise ConfigError(
            f"{where}.{unknown[0]}: not known; allowed are {', '.join(WORDS)} and LiteLLM's names of rates"
        )
    model, provider = _text(item, "model", where), _text(item, "provider", where)
    if not model:
        raise ConfigError(f"{where}.model: write the name that spans carry, such as gpt-4o-mini")
    entry = {key: value for key, value in item.items() if key not in WORDS}
    entry |= {name: _per_token(item[key], f"{where}.{key}") for key, name in PER_MILLION.items() if key in item}
    entry |= {NAMES["request"]: item[PER_REQUEST]} if PER_REQUEST in item else {}
    if NAMES["request"] in entry:
        entry = {NAMES["input"]: 0, NAMES["output"]: 0} | entry
    if (NAMES["input"] in entry) != (NAMES["output"] in entry):
        missing = "output" if NAMES["input"] in entry else "input"
        raise ConfigError(f"{where}.{missing}_usd_per_million: write it too; 0 where there are no such tokens")
    terms, version = _read_terms(entry, where)
    valid_from = _read_moment(item.get("from"), f"{where}.from")
    for key in _keys(provider, model, known):
        yield Override(key, valid_from, terms, version)


def _keys(provider: str, model: str, known: Collection[Key]) -> set[Key]:
    if provider:
        return {Key(name_provider(provider), model)}
    return {Key(ANY, model), Key(NOBODY, model), *(key for key in known if key.model == model)}


def _read_deployment(item: Mapping[str, Any], where: str) -> Iterator[Override]:
    params, info = item.get("litellm_params") or {}, item.get("model_info") or {}
    entry = {key: value for key, value in {**params, **info}.items() if RATE.fullmatch(str(key)) and value is not None}
    whole = str(params.get("model", ""))
    if NAMES["input"] not in entry or not whole or "*" in whole:
        return
    prefix, slash, rest = whole.partition("/")
    model = rest if slash else whole
    # Who calls a server of yours through OpenAI's library says that OpenAI answered.
    anywhere = prefix in SELF_HOSTED or params.get("api_base") or not slash
    terms, version = _read_terms(entry, where)
    yield Override(Key(ANY if anywhere else name_provider(prefix), model), BEGINNING, terms, version)


def _read_terms(entry: Mapping[str, Any], where: str) -> tuple[Terms, str]:
    digest = hashlib.sha256(json.dumps(entry, sort_keys=True, default=str).encode()).hexdigest()[:12]
    try:
        price = Price.from_litellm(entry, f"config-{digest}")
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
    if price is None:
        raise ConfigError(f"{where}: write a price, such as input_usd_per_million: 0.15")
    return to_terms(price, ""), price.version


def _per_token(value: Any, where: str) -> Decimal:
    try:
        return Decimal(str(value)) / MILLION
    except InvalidOperation:
        raise ConfigError(f"{where}: {value!r} is no price; write US dollars a million tokens, such as 0.15") from None


def _read_moment(value: Any, where: str) -> datetime:
    """YAML makes a date of 2026-11-01, and a moment of 2026-11-01T12:00:00Z."""
    if value is None:
        return BEGINNING
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ConfigError(f"{where}: {value!r} is no date; write one such as 2026-11-01")


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{where}.{key}: write text, on one line")
    return value
