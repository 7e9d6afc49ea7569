"""What a call may use at most, before it is made: never less than it can be charged, as far as anybody can know."""

import re
from collections.abc import Iterable
from decimal import ROUND_UP, Decimal
from typing import Final, NamedTuple

from spanwell.pricing import Price
from spanwell.rates import KINDS, OFF_PEAK
from spanwell_proxy.caller import PUSD

# Text has at most a token a byte. A picture inside it has far fewer, and one at an address has no bytes here.
PICTURE: Final = re.compile(rb"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/=]+")
MEDIA: Final = re.compile(rb'"(?:image_url|input_image|image|input_file|file|document)"')
PICTURE_TOKENS: Final = 4096
USUAL_BYTES_A_TOKEN: Final = 3  # few texts have more tokens than that
USUAL_OUTPUT_TOKENS: Final = 4096
LONG_INPUT_TOKENS: Final = 100_000  # no model's rates for long inputs begin below
INPUTS: Final = tuple(KINDS.index(kind) for kind in ("cached", "cache_write_1h", "cache_write", "audio_input"))
OUTPUTS: Final = tuple(KINDS.index(kind) for kind in ("reasoning", "output"))
MEDIA_OUTPUTS: Final = tuple(KINDS.index(kind) for kind in ("audio_output", "image_output"))
REQUEST: Final = KINDS.index("request")
IMAGE_INPUT: Final = KINDS.index("image_input")
INPUT: Final = KINDS.index("input")


class Rates(NamedTuple):
    """The dearest rates that a call may meet, in picodollars a token; `any_` of all kinds of tokens."""

    input: int
    any_input: int
    output: int
    any_output: int
    request: int


def to_pusd(cost_usd: Decimal) -> int:
    """Whole picodollars, rounded up."""
    return int((cost_usd * PUSD).to_integral_value(ROUND_UP))


def find_rates(prices: Iterable[Price], service_tier: str, *, is_long: bool) -> Rates:
    """The dearest of `prices` in a tier, in its dearest hour."""
    cards = [
        card.rates
        for price in prices
        for card in (price.standard, *price.cards)
        if card.service_tier in ("", OFF_PEAK, service_tier) and (is_long or card.from_tokens <= LONG_INPUT_TOKENS)
    ]

    def dearest(*kinds: int) -> int:
        return max((to_pusd(rates[kind]) for rates in cards for kind in kinds), default=0)

    return Rates(
        dearest(INPUT),
        dearest(INPUT, IMAGE_INPUT, *INPUTS),
        dearest(*OUTPUTS),
        dearest(*OUTPUTS, *MEDIA_OUTPUTS),
        dearest(REQUEST),
    )


def most_input_tokens(body: bytes) -> int:
    """No more than these can be read from a body."""
    tokens = len(body)
    if b";base64," in body:
        pictures = PICTURE.findall(body)
        tokens += PICTURE_TOKENS * len(pictures) - sum(map(len, pictures))
    if b"_url" in body or b'"file' in body or b'"document' in body or b'"image' in body:
        tokens += PICTURE_TOKENS * len(MEDIA.findall(body))
    return tokens


def usual_tokens(body: bytes, max_tokens: int | None, answers: int) -> int:
    """What counts for a rate until the call has ended: rates even out within a minute, so likely is enough."""
    input_tokens = min(most_input_tokens(body), len(body) // USUAL_BYTES_A_TOKEN + 1)
    return input_tokens + (USUAL_OUTPUT_TOKENS if max_tokens is None else max_tokens) * answers


def most_pusd(body: bytes, output_tokens: int, rates: Rates) -> int:
    """The most a call may cost."""
    writes = b"cache_control" in body or b"input_audio" in body or b"_url" in body
    input_pusd = rates.any_input if writes else rates.input
    output_pusd = rates.any_output if b"modalities" in body else rates.output
    return most_input_tokens(body) * input_pusd + output_tokens * output_pusd + rates.request
