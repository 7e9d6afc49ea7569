"""What LiteLLM's price map says of one model, as cards of rates. Which card holds for a call is pricing's."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from spanwell.errors import ConfigError

# A total stands after its parts: tokens are charged at the first kind that has them, and once.
KINDS: Final = (
    "cached",
    "cache_write_1h",
    "cache_write",
    "audio_input",
    "image_input",
    "input",
    "reasoning",
    "audio_output",
    "image_output",
    "output",
    "request",
)
# Whose rate a kind is charged at that has none of its own.
PARENTS: Final = {
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
WHOLES: Final = ("input", "output", "request")
FILL_ORDER: Final = (*WHOLES, *sorted(PARENTS, key=lambda kind: PARENTS[kind] not in WHOLES))
NAMES: Final = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
    "request": "input_cost_per_request",
}
KIND_OF_NAME: Final = {name: kind for kind, name in NAMES.items()}
SERVICE_TIERS: Final = {
    "batches": "batch",
    "flex": "flex",
    "priority": "priority",
    "balanced": "balanced",
    "ultrafast": "ultrafast",
}
OFF_PEAK: Final = "off_peak"
RATE: Final = re.compile(
    rf"({'|'.join(sorted(KIND_OF_NAME, key=len, reverse=True))})"
    rf"(?:_above_(\d+k?)_tokens)?(?:_({'|'.join(SERVICE_TIERS)}))?"
)
INCLUSIVE: Final = ("xai",)  # the dearer rates begin at the threshold, not after it
HALVES_CACHED: Final = "fireworks_ai"  # a cached token costs half there, wherever the map says nothing
SMALLEST: Final = Decimal("1e-12")
LARGEST: Final = Decimal(1000)
MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


class Card(NamedTuple):
    """Rates of one service tier ("" is the standard one) for calls of at least `from_tokens` input tokens.

    `rates` are US dollars a token (a call, for `request`), one for each of KINDS.
    """

    service_tier: str
    from_tokens: int
    rates: tuple[Decimal, ...]


def read_rate(name: str, value: Any) -> Decimal:
    """US dollars of at most twelve places. Raises ConfigError for what is no price."""
    try:
        if isinstance(value, bool):  # what YAML makes of `yes`
            raise TypeError(value)
        # repr of a float is the shortest text that reads back as it: 7.5e-08 becomes exactly 0.000000075.
        rate = Decimal(repr(float(value)))
    except (TypeError, ValueError):
        rate = Decimal("NaN")
    if not rate.is_finite() or not 0 <= rate < LARGEST:
        raise ConfigError(f"{name}: {value!r} is no price; write US dollars a token, such as 0.0000002")
    return rate.quantize(SMALLEST).normalize()


def read_standard(entry: Mapping[str, Any]) -> dict[str, Decimal]:
    """The rates that hold where no other card does, of the kinds that have one; empty where tokens have no price."""
    listed = {kind: read_rate(name, entry[name]) for kind, name in NAMES.items() if entry.get(name) is not None}
    tiers = entry.get("tiered_pricing") or ()
    if "input" not in listed and tiers:
        listed |= _read_listed(tiers[0])
    if "input" not in listed or (not any(listed.values()) and _costs_otherwise(entry)):
        return {}
    if "cached" not in listed and str(entry.get("litellm_provider", "")).startswith(HALVES_CACHED):
        listed["cached"] = (listed["input"] / 2).quantize(SMALLEST)
    return listed


def fill(listed: Mapping[str, Decimal], whole: Mapping[str, Decimal] | None = None) -> dict[str, Decimal]:
    """Every kind's rate. What is not listed follows its parent, as much dearer or cheaper as it is on `whole`."""
    rates: dict[str, Decimal] = {}
    for kind in FILL_ORDER:
        parent = PARENTS.get(kind)
        if kind in listed:
            rates[kind] = listed[kind]
        elif parent is None:
            rates[kind] = whole[kind] if whole else Decimal(0)
        elif whole is None:
            rates[kind] = rates[parent]
        else:
            rates[kind] = _scale(whole[kind], rates[parent], whole[parent])
    return rates


def order(rates: Mapping[str, Decimal]) -> tuple[Decimal, ...]:
    """The rates as a card holds them."""
    return tuple(rates[kind] for kind in KINDS)


def read_cards(entry: Mapping[str, Any], standard: Mapping[str, Decimal]) -> tuple[Card, ...]:
    """The cards beside the standard one, by service tier and then by length of the input."""
    listed = _read_all(entry)
    lengths = sorted({tokens for _, tokens in listed if tokens})
    tiers = sorted({tier for tier, _ in listed if tier})
    whole = fill(standard)
    long, below = {}, whole
    for tokens in lengths:
        long[tokens] = below = fill(listed.get(("", tokens), {}), below)
    cards = [Card("", tokens, order(rates)) for tokens, rates in long.items()]
    for tier in tiers:
        rates = fill(listed.get((tier, 0), {}), whole)
        cards.append(Card(tier, 0, order(rates)))
        for tokens in lengths if tier != OFF_PEAK else ():
            # A tier's discount holds for long inputs too, a surcharge does not, unless they have rates of their own.
            composed = {
                kind: min(long[tokens][kind], _scale(rates[kind], long[tokens][kind], whole[kind])) for kind in KINDS
            }
            cards.append(Card(tier, tokens, order(composed | listed.get((tier, tokens), {}))))
    return tuple(sorted(cards))


def read_off_peak(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """The whole hours of a week, from Monday 00:00 UTC on, in which the off-peak card holds."""
    terms = entry.get("off_peak_pricing")
    if not terms:
        return ()
    windows = [{"hours_utc": terms.get("hours_utc", [])}, *terms.get("windows", [])]
    zone = ZoneInfo(terms.get("weekday_timezone") or "UTC")
    return tuple(
        slot for slot in range(168) if any(_is_open(window, MONDAY + timedelta(hours=slot), zone) for window in windows)
    )


def _read_all(entry: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Decimal]]:
    """What is listed, by service tier and least number of input tokens."""
    listed: dict[tuple[str, int], dict[str, Decimal]] = {}
    extra = 0 if entry.get("litellm_provider") in INCLUSIVE else 1
    for key, value in entry.items():
        match = RATE.fullmatch(key)
        if match and value is not None and (match[2] or match[3]):
            tokens = int(match[2].replace("k", "000")) + extra if match[2] else 0
            card = listed.setdefault((SERVICE_TIERS.get(match[3], ""), tokens), {})
            card[KIND_OF_NAME[match[1]]] = read_rate(key, value)
    for tier in entry.get("tiered_pricing") or ():
        first = int(tier["range"][0])
        if first:
            listed[("", first + 1)] = _read_listed(tier)
    if entry.get("off_peak_pricing"):
        listed[(OFF_PEAK, 0)] = _read_listed(entry["off_peak_pricing"])
    return listed


def _read_listed(terms: Mapping[str, Any]) -> dict[str, Decimal]:
    return {KIND_OF_NAME[name]: read_rate(name, terms[name]) for name in terms if name in KIND_OF_NAME}


def _costs_otherwise(entry: Mapping[str, Any]) -> bool:
    """Whether a model whose tokens cost nothing is paid for by the image, the second or the page."""
    others = (value for name, value in entry.items() if "cost" in name and not name.startswith("search"))
    return any(isinstance(value, int | float) and value > 0 for value in others)


def _scale(rate: Decimal, numerator: Decimal, denominator: Decimal) -> Decimal:
    return (rate * numerator / denominator).quantize(SMALLEST) if denominator else rate


def _is_open(window: Mapping[str, Any], moment: datetime, zone: ZoneInfo) -> bool:
    days = window.get("weekdays")
    if days is not None and moment.astimezone(zone).isoweekday() not in days:
        return False
    hours = window["hours_utc"]
    return any(moment.hour in _hours(span) for span in ([hours] if isinstance(hours, str) else hours))


def _hours(span: str) -> Iterator[int]:
    """The whole hours of `22:30-06:00`, which are those from 23 to 5."""
    (start, late), (end, _) = (map(int, side.split(":")) for side in span.split("-"))
    start += late > 0
    return iter(range(start, end)) if start < end else chain(range(start, 24), range(end))
