"""Reads LiteLLM's price map into terms by provider and model, as spans name them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from spanwell.errors import ConfigError
from spanwell.pricing import Price, PriceTable
from spanwell.providers import SELF_HOSTED, name_provider
from spanwell_collector.prices.terms import (
    ALSO,
    CLOUDS,
    MAKERS,
    NOBODY,
    Key,
    Terms,
    to_terms,
)


def read_map(table: PriceTable) -> dict[Key, Terms]:
    """Every model whose tokens have a price. A name with its provider before it is worth more than the bare one."""
    listed: dict[Key, Terms] = {}
    for name in sorted(table.entries, key=lambda name: "/" in name):
        entry = table.entries[name]
        seller = str(entry.get("litellm_provider") or "")
        terms = _read_terms(entry) if seller and name != "sample_spec" and seller not in SELF_HOSTED else None
        if terms:
            listed[Key(name_provider(seller), _strip_seller(name, seller))] = terms
    copies = {
        Key(other, key.model): listed[key] for other, one in ALSO.items() for key in listed if key.provider == one
    }
    return listed | copies | _attribute(listed)


def _read_terms(entry: Mapping[str, Any]) -> Terms | None:
    try:
        price = Price.from_litellm(entry, "")
    except ConfigError:  # one bad entry of somebody else's file must not take the others with it
        return None
    return to_terms(price, str(entry.get("mode") or "")) if price else None


def _strip_seller(name: str, seller: str) -> str:
    """`vertex_ai/claude-opus` of the seller `vertex_ai-anthropic_models` is `claude-opus`."""
    first, slash, rest = name.partition("/")
    return rest if slash and seller.replace("_", "-").startswith(first.replace("_", "-")) else name


def _attribute(listed: Mapping[Key, Terms]) -> dict[Key, Terms]:
    """Bare names that belong to exactly one maker, for spans that do not say who answered."""
    return _attribute_among(CLOUDS, listed) | _attribute_among(MAKERS, listed)


def _attribute_among(sellers: Sequence[str], listed: Mapping[Key, Terms]) -> dict[Key, Terms]:
    sold = [key for key in listed if key.provider in sellers]
    count = Counter(key.model for key in sold)
    return {Key(NOBODY, key.model): listed[key] for key in sold if count[key.model] == 1}
