"""Whose prices the user's own are: those of the section `prices`, and of models of `model_list` that carry one."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.overrides import BEGINNING, pick_rates, read_overrides, read_price
from spanwell.providers import SELF_HOSTED, name_provider
from spanwell_collector.prices.terms import ANY, NOBODY, Key, Terms, to_terms


class Word(NamedTuple):
    """What the user says of one model from a moment on."""

    key: Key
    valid_from: datetime
    terms: Terms
    version: str


def read_words(config: Config, known: Collection[Key]) -> list[Word]:
    """All of the user's prices. Raises ConfigError naming the field and what is allowed.

    `known` are the models that have a price in the list: one that names no provider overrides them all.
    """
    named = [
        Word(key, one.valid_from, to_terms(one.price, ""), one.price.version)
        for one in read_overrides(config)
        for key in _keys(one.provider, one.model, known)
    ]
    served = [
        word
        for index, item in enumerate(config.model_list)
        for word in _read_deployment(item, f"{config.source}: model_list[{index}]")
    ]
    # The section is the more deliberate of the two, and comes last.
    return list({(word.key, word.valid_from): word for word in (*served, *named)}.values())


def _keys(provider: str, model: str, known: Collection[Key]) -> set[Key]:
    if provider:
        return {Key(provider, model)}
    return {Key(ANY, model), Key(NOBODY, model), *(key for key in known if key.model == model)}


def _read_deployment(item: Mapping[str, Any], where: str) -> Iterator[Word]:
    params, info = _mapping(item, "litellm_params", where), _mapping(item, "model_info", where)
    rates, whole = pick_rates(params, info), str(params.get("model", ""))
    if not rates or not whole or "*" in whole:
        return
    prefix, slash, rest = whole.partition("/")
    model = rest if slash else whole
    # Who calls a server of yours through OpenAI's library says that OpenAI answered.
    anywhere = prefix in SELF_HOSTED or params.get("api_base") or not slash
    price = read_price(rates, where)
    key = Key(ANY if anywhere else name_provider(prefix), model)
    yield Word(key, BEGINNING, to_terms(price, ""), price.version)


def _mapping(item: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = item.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}.{key}: must be a mapping")
    return value
