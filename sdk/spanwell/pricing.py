"""What a call costs: a price table as data, and one pure function. Money is Decimal, in US dollars.

The table is LiteLLM's, read as a file out of its installed package without importing it (16 ms instead of 2 s),
under whatever prices the user's own configuration gives. The collector computes the same sum in SQL, to the last digit.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from spanwell.pieces import read_piece_rates
from spanwell.providers import SELF_HOSTED
from spanwell.rates import KINDS, OFF_PEAK, Card, fill, order, read_cards, read_off_peak, read_standard

PRICE_FILE = "model_prices_and_context_window_backup.json"
NOTHING: Final = Decimal(0)
MAX_TOKENS: Final = 2**32 - 1  # what a column of the store holds; a larger count is no count
RARE: Final = attrgetter(  # of a Usage, what nearly no call has
    *("cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output", "image_input", "image_output")
)


@dataclass(frozen=True)
class Usage:
    """Tokens of one call.

    `cached`, `cache_write`, `audio_input` and `image_input` are part of `input`; `reasoning`, `audio_output` and
    `image_output` are part of `output`; `cache_write_1h` is the part of `cache_write` that is kept for an hour.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0


@dataclass(frozen=True)
class Price:
    """US dollars a token, by kind of token. A kind without a rate of its own is charged at its parent's.

    `cards` are the rates of other service tiers and of long inputs; `off_peak` the hours of the week, counted from
    Monday 00:00 UTC, at which the card of that name holds.
    """

    input: Decimal
    output: Decimal
    version: str
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    image_output: Decimal | None = None
    request: Decimal | None = None  # a call, whatever its tokens
    cards: tuple[Card, ...] = ()
    off_peak: tuple[int, ...] = ()

    @classmethod
    def from_litellm(cls, entry: Mapping[str, Any], version: str) -> "Price | None":
        """The rates of one entry in LiteLLM's format, or None where it has no price a token.

        Raises ConfigError for a rate that is no number.
        """
        listed = read_standard(entry)
        if not listed:
            return None
        cards, off_peak = read_cards(entry, listed), read_off_peak(entry)
        return cls(**{"output": Decimal(0), **listed}, version=version, cards=cards, off_peak=off_peak)

    @cached_property
    def standard(self) -> Card:
        """The card that holds where no other does."""
        listed = {kind: rate for kind in KINDS if (rate := getattr(self, kind)) is not None}
        return Card("", 0, order(fill(listed)))

    def choose(self, input_tokens: int, service_tier: str, at: datetime | None) -> Card:
        """The card a call is charged by: of the hour, else of its tier, and of the longest input reached."""
        if not self.cards:
            return self.standard
        tier = service_tier
        if at is not None and self.off_peak and 24 * at.weekday() + at.hour in self.off_peak:
            tier = OFF_PEAK
        cards = self._by_tier.get(tier) or self._by_tier[""]
        if len(cards) == 1:
            return cards[0]
        return next(card for card in cards if card.from_tokens <= min(input_tokens, MAX_TOKENS))

    @cached_property
    def _by_tier(self) -> dict[str, list[Card]]:
        """Those for the longest inputs first."""
        cards = sorted((self.standard, *self.cards), reverse=True)
        return {
            tier: [card for card in cards if card.service_tier == tier] for tier in {one.service_tier for one in cards}
        }


def costs_usd(usage: Usage, price: Price, *, service_tier: str = "", at: datetime | None = None) -> dict[str, Decimal]:
    """US dollars by kind, of the kinds that cost something. `at` is UTC; None is the time of day when it costs most.

    Tokens that would be more than the total they are part of are left out, so none is ever charged twice.
    """
    rates = price.choose(usage.input, service_tier, at).rates
    return {
        kind: rate * tokens for kind, rate, tokens in zip(KINDS, rates, _bill(usage), strict=True) if tokens and rate
    }


def write_usd(usd: Decimal) -> str:
    """As decimal text, without an exponent and without noughts at the end."""
    return format(usd.normalize(), "f")


def cost_usd(usage: Usage, price: Price, *, service_tier: str = "", at: datetime | None = None) -> Decimal:
    """Sum of tokens times rate over the kinds. OpenAI's basis: input includes cached, output includes reasoning."""
    rates, total = price.choose(usage.input, service_tier, at).rates, NOTHING
    for rate, tokens in zip(rates, _bill(usage), strict=True):
        if tokens and rate:
            total += rate * tokens
    return total


def _bill(usage: Usage) -> list[int]:
    """Tokens in the order of KINDS, each counted once: a part as far as its total reaches, then what is left of it."""
    if not any(RARE(usage)):
        sent, cached = min(max(usage.input, 0), MAX_TOKENS), max(usage.cached, 0)
        return [min(cached, sent), 0, 0, 0, 0, max(sent - cached, 0), 0, 0, 0, min(max(usage.output, 0), MAX_TOKENS), 1]
    billed = []
    written = usage.cache_write - usage.cache_write_1h
    received = (usage.cached, usage.cache_write_1h, written, usage.audio_input, usage.image_input)
    for total, parts in (
        (usage.input, received),
        (usage.output, (usage.reasoning, usage.audio_output, usage.image_output)),
    ):
        left = min(max(total, 0), MAX_TOKENS)
        for part in parts:
            taken = min(part, left) if part > 0 else 0
            left -= taken
            billed.append(taken)
        billed.append(left)
    return [*billed, 1]


@dataclass(frozen=True)
class PriceTable:
    """Prices by model name, as `provider/model` or `model`."""

    version: str = "none"
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, provider: str, model: str) -> Price | None:
        """The price of `model`, or None: an unpriced call has no cost, which is not a cost of nought."""
        entry = self._find_entry(provider, model)
        return None if entry is None else Price.from_litellm(entry, self.version)

    def find_pieces(self, provider: str, model: str) -> dict[str, Decimal]:
        """What of `model` is paid for by the piece, in US dollars; mostly nothing is."""
        return read_piece_rates(self._find_entry(provider, model) or {})

    def _find_entry(self, provider: str, model: str) -> Mapping[str, Any] | None:
        if provider in SELF_HOSTED:
            return None
        entry = self.entries.get(f"{provider}/{model}")
        if entry is None:
            # A bare name is one provider's own: the same name on a server of yours does not cost what it costs there.
            entry = self.entries.get(model, {})
            if not str(entry.get("litellm_provider", provider)).startswith(provider):
                return None
        return entry


def load_price_table() -> PriceTable:
    """LiteLLM's table if that package is installed, else an empty one. The version is the file's own digest."""
    spec = find_spec("litellm")
    path = Path(spec.origin).with_name(PRICE_FILE) if spec and spec.origin else None
    if path is None or not path.exists():
        return PriceTable()
    content = path.read_bytes()
    return PriceTable(version="litellm-" + hashlib.sha256(content).hexdigest()[:12], entries=json.loads(content))
