"""What a call may use at most, before it is made: never less than it can be charged, as far as anybody can know."""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Decimal
from typing import Any, Final, NamedTuple

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
    output_tokens: int  # the longest answer


def to_pusd(cost_usd: Decimal) -> int:
    """Whole picodollars, rounded up."""
    return int((cost_usd * PUSD).to_integral_value(ROUND_UP))


def find_rates(prices: Iterable[Price], service_tier: str, output_tokens: int, *, is_long: bool) -> Rates:
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
        output_tokens,
    )


def is_plain(request: Mapping[str, Any]) -> bool:
    """Whether it holds text alone: no parts, whose kinds are to be looked for in the body."""
    said = request.get("messages") or request.get("input")
    if isinstance(said, list):
        for message in said:
            if not isinstance(message, str) and not (isinstance(message, dict) and type(message.get("content")) is str):
                return False
    return not isinstance(request.get("system"), list) and "tools" not in request and "modalities" not in request


def most_input_tokens(body: bytes) -> int:
    """No more than these can be read from a body."""
    tokens = len(body)
    if b";base64," in body:
        pictures = PICTURE.findall(body)
        tokens += PICTURE_TOKENS * len(pictures) - sum(map(len, pictures))
    return tokens + PICTURE_TOKENS * len(MEDIA.findall(body))


def most_pusd(body: bytes, output_tokens: int, rates: Rates, *, plain: bool) -> int:
    """The most a call may cost."""
    if plain:
        return len(body) * rates.input + output_tokens * rates.output + rates.request
    return most_input_tokens(body) * rates.any_input + output_tokens * rates.any_output + rates.request


def most_form_pusd(text_bytes: int, output_tokens: int, rates: Rates) -> int:
    """The same, of a form with pictures or a sound."""
    return text_bytes * rates.any_input + output_tokens * rates.any_output + rates.request


def usual_tokens(text_bytes: int, output_tokens: int | None, answers: int) -> int:
    """What counts for a rate until the call has ended: rates even out within a minute, so likely is enough."""
    return (
        text_bytes // USUAL_BYTES_A_TOKEN + (USUAL_OUTPUT_TOKENS if output_tokens is None else output_tokens) * answers
    )
