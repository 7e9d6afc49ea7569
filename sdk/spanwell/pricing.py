"""What a call costs: a price table as data, and one pure function. Money is Decimal, in US dollars.

The table is LiteLLM's, read as a file out of its installed package without importing it (16 ms instead of 2 s),
under whatever prices the user's own configuration gives.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spanwell.errors import ConfigError

PRICE_FILE = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. `cached` and `cache_write` are part of `input`; `reasoning` is part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Price:
    """US dollars a token, by kind of token. A kind without a rate of its own is charged at its parent's."""

    input: Decimal
    output: Decimal
    version: str
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None

    @classmethod
    def from_litellm(cls, entry: Mapping[str, Any], version: str) -> "Price | None":
        """The rates of one entry in LiteLLM's format, or None where it has no price a token.

        Raises ConfigError for a rate that is no number.
        """
        if entry.get("input_cost_per_token") is None:
            return None
        return cls(
            input=_rate(entry, "input_cost_per_token") or Decimal(0),
            output=_rate(entry, "output_cost_per_token") or Decimal(0),
            version=version,
            cached=_rate(entry, "cache_read_input_token_cost"),
            cache_write=_rate(entry, "cache_creation_input_token_cost"),
            reasoning=_rate(entry, "output_cost_per_reasoning_token"),
        )


def cost_usd(usage: Usage, price: Price) -> Decimal:
    """Sum of tokens times rate over the kinds. OpenAI's basis: input includes cached, output includes reasoning.

    A backend that reports more cached tokens than input leaves no plain ones, never a negative cost.
    """
    plain_input = max(usage.input - usage.cached - usage.cache_write, 0)
    plain_output = max(usage.output - usage.reasoning, 0)
    return (
        plain_input * price.input
        + usage.cached * (price.input if price.cached is None else price.cached)
        + usage.cache_write * (price.input if price.cache_write is None else price.cache_write)
        + plain_output * price.output
        + usage.reasoning * (price.output if price.reasoning is None else price.reasoning)
    )


@dataclass(frozen=True)
class PriceTable:
    """Prices by model name, as `provider/model` or `model`."""

    version: str = "none"
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, provider: str, model: str) -> Price | None:
        """The price of `model`, or None: an unpriced call has no cost, which is not a cost of nought."""
        entry = self.entries.get(f"{provider}/{model}")
        if entry is None:
            # A bare name is one provider's own: the same name on a server of yours does not cost what it costs there.
            entry = self.entries.get(model, {})
            if not str(entry.get("litellm_provider", provider)).startswith(provider):
                return None
        return Price.from_litellm(entry, self.version)


def load_price_table() -> PriceTable:
    """LiteLLM's table if that package is installed, else an empty one. The version is the file's own digest."""
    spec = find_spec("litellm")
    path = Path(spec.origin).with_name(PRICE_FILE) if spec and spec.origin else None
    if path is None or not path.exists():
        return PriceTable()
    content = path.read_bytes()
    return PriceTable(version="litellm-" + hashlib.sha256(content).hexdigest()[:12], entries=json.loads(content))


def _rate(entry: Mapping[str, Any], name: str) -> Decimal | None:
    value = entry.get(name)
    if value is None:
        return None
    try:
        # repr of a float is the shortest text that reads back as it: 7.5e-08 becomes exactly 0.000000075.
        rate = Decimal(repr(float(value)))
    except (TypeError, ValueError):
        rate = Decimal("NaN")
    if not rate.is_finite() or rate < 0:
        raise ConfigError(f"{name}: {value!r} is no price; write US dollars a token, such as 0.0000002")
    return rate
