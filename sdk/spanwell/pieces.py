"""What is paid for by the piece and not by the token: pictures, seconds of sound, characters of speech, searches."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from spanwell.rates import read_rate

# LiteLLM's names; of several that a model has, the first that is no nought holds.
PIECES: Final = {
    "image": ("output_cost_per_image", "input_cost_per_image"),
    "second": ("input_cost_per_second", "output_cost_per_second"),
    "character": ("input_cost_per_character", "output_cost_per_character"),
    "query": ("input_cost_per_query",),
}
PIECE_NAMES: Final = frozenset(name for names in PIECES.values() for name in names)


def read_piece_rates(entry: Mapping[str, Any]) -> dict[str, Decimal]:
    """US dollars a piece, by kind, of an entry in LiteLLM's format. Raises ConfigError for a rate that is no number."""
    rates: dict[str, Decimal] = {}
    for kind, names in PIECES.items():
        listed = [name for name in names if entry.get(name) is not None]
        given = next((name for name in listed if entry[name]), next(iter(listed), None))
        if given:
            rates[kind] = read_rate(given, entry[given])
    return rates


def pieces_usd(counts: Mapping[str, int], rates: Mapping[str, Decimal]) -> Decimal | None:
    """What these pieces cost; None where none of them has a price."""
    priced = [rates[kind] * count for kind, count in counts.items() if kind in rates]
    return sum(priced, Decimal(0)) if priced else None
