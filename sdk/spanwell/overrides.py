"""Reads the user's own prices, the section `prices`: they hold instead of the list's, each from its date on."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import Price
from spanwell.providers import name_provider
from spanwell.rates import KINDS, NAMES, RATE

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
MILLION: Final = 1_000_000
PER_MILLION: Final = {f"{kind}_usd_per_million": NAMES[kind] for kind in KINDS if kind != "request"}
PER_REQUEST: Final = "usd_per_request"
WORDS: Final = ("model", "provider", "from", PER_REQUEST, *PER_MILLION)


class Override(NamedTuple):
    """What the user says of one model from a moment on; an empty provider is whoever answers."""

    provider: str
    model: str
    valid_from: datetime
    price: Price


def read_overrides(config: Config) -> list[Override]:
    """The section in its order. Raises ConfigError naming the field and what is allowed."""
    return [_read_item(item, f"{config.source}: prices[{index}]") for index, item in enumerate(config.prices)]


def pick_rates(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """What is a rate in LiteLLM's format, of a model of `model_list`; empty where it has no price of its own."""
    rates = {key: value for source in sources for key, value in source.items() if RATE.fullmatch(str(key))}
    rates = {key: value for key, value in rates.items() if value is not None}
    return rates if NAMES["input"] in rates else {}


def read_price(rates: Mapping[str, Any], where: str) -> Price:
    """The price that LiteLLM's names of rates make. Its version is their digest. Raises ConfigError."""
    digest = hashlib.sha256(json.dumps(rates, sort_keys=True, default=str).encode()).hexdigest()[:12]
    try:
        price = Price.from_litellm(rates, f"config-{digest}")
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
    if price is None:
        raise ConfigError(f"{where}: write a price, such as input_usd_per_million: 0.15")
    return price


def _read_item(item: Mapping[str, Any], where: str) -> Override:
    unknown = [key for key in item if key not in WORDS and not RATE.fullmatch(str(key))]
    if unknown:
        raise ConfigError(
            f"{where}.{unknown[0]}: not known; allowed are {', '.join(WORDS)} and LiteLLM's names of rates"
        )
    model, provider = _text(item, "model", where), _text(item, "provider", where)
    if not model:
        raise ConfigError(f"{where}.model: write the name that spans carry, such as gpt-4o-mini")
    valid_from = _read_moment(item.get("from"), f"{where}.from")
    return Override(name_provider(provider), model, valid_from, read_price(_list_rates(item, where), where))


def _list_rates(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    rates = {key: value for key, value in item.items() if key not in WORDS}
    rates |= {name: _per_token(item[key], f"{where}.{key}") for key, name in PER_MILLION.items() if key in item}
    rates |= {NAMES["request"]: item[PER_REQUEST]} if PER_REQUEST in item else {}
    if NAMES["request"] in rates:
        rates = {NAMES["input"]: 0, NAMES["output"]: 0} | rates
    if (NAMES["input"] in rates) != (NAMES["output"] in rates):
        missing = "output" if NAMES["input"] in rates else "input"
        raise ConfigError(f"{where}.{missing}_usd_per_million: write it too; 0 where there are no such tokens")
    return rates


def _per_token(value: Any, where: str) -> Decimal:
    try:
        return Decimal(str(value)) / MILLION
    except InvalidOperation:
        raise ConfigError(f"{where}: {value!r} is no price; write US dollars a million tokens, such as 0.15") from None


def _read_moment(value: Any, where: str) -> datetime:
    """YAML makes a date of 2026-11-01, and a moment of 2026-11-01T12:00:00Z."""
    if value is None:
        return BEGINNING
    moment = value if isinstance(value, datetime) else _midnight(value)
    if moment is None or not BEGINNING.year <= moment.year < LATEST.year:
        allowed = f"from {BEGINNING.year} to {LATEST.year - 1}"
        raise ConfigError(f"{where}: {value!r} is no date; write one such as 2026-11-01, {allowed}")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _midnight(value: Any) -> datetime | None:
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else None


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigError(f"{where}.{key}: write text, on one line")
    return value
