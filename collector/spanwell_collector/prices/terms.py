"""One model's price as a row holds it, and by which names models and providers are priced."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanwell.pricing import Price
from spanwell.rates import KINDS, Card

ANY: Final = "*"  # a model by this name costs the same, whoever runs it
NOBODY: Final = ""  # spans that name no provider
LITELLM, USER = "litellm", "user"
GPU: Final = "gpu-"  # how the version of a price by the hour begins

ALSO: Final = {"gcp.gen_ai": "gcp.gemini"}  # Google's SDK says so where it cannot tell which of its services answers
# Who makes models and sells them himself. A bare name that one of them alone uses is his.
MAKERS: Final = ("openai", "anthropic", "gcp.gemini", "mistral_ai", "deepseek", "x_ai", "cohere", "moonshot_ai")
CLOUDS: Final = ("gcp.vertex_ai", "aws.bedrock")  # a name that only one of them uses, and no maker, is its own


class Terms(NamedTuple):
    """What a model costs, by service tier and length of input."""

    cards: tuple[Card, ...]
    off_peak: tuple[int, ...] = ()
    mode: str = ""


class Key(NamedTuple):
    """Whose price it is."""

    provider: str
    model: str


def to_terms(price: Price, mode: str) -> Terms:
    return Terms(tuple(sorted((price.standard, *price.cards))), price.off_peak, mode)


def write_cards(cards: tuple[Card, ...]) -> list[tuple[str, int, dict[str, Decimal]]]:
    """As the column holds them: a kind that is free is left out."""
    return [
        (
            card.service_tier,
            card.from_tokens,
            {kind: rate for kind, rate in zip(KINDS, card.rates, strict=True) if rate},
        )
        for card in cards
    ]


def read_cards(rows: list[Mapping[str, Any]]) -> tuple[Card, ...]:
    """The inverse of `write_cards`, from a row of an answer."""
    return tuple(
        Card(row["service_tier"], row["from_tokens"], tuple(dict(row["rates"]).get(kind, Decimal(0)) for kind in KINDS))
        for row in rows
    )
