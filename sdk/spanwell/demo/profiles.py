"""The simulated models: how fast each is, what it costs, how it fails. Simulator, config and history share them."""

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from random import Random
from typing import NamedTuple

from spanwell.demo.planted import (
    FLAKY_ERROR_RATE,
    FLAKY_MODEL,
    SLOW_MODEL,
    SLOW_PRICE_FACTOR,
    SLOW_SPEED_FACTOR,
    SLOW_TTFT_FACTOR,
    STEADY_MODEL,
)
from spanwell.pricing import Price

PER_MILLION = Decimal(1_000_000)
DEFAULT_MAX_TOKENS = 1024  # of an answer, where a request bounds it not


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """One model as it would behave on one GPU server. Prices are US dollars a million tokens."""

    name: str
    ttft_ms: float
    tokens_per_second: float
    input_price: Decimal
    output_price: Decimal
    prefill_tokens_per_second: float = 9000.0
    error_rate: float = 0.0  # share of requests answered by 500 or 429, in turn
    vague: bool = False  # answers at length and says little
    max_model_len: int = 8192
    max_num_seqs: int = 64
    kv_cache_tokens: int = 65_536

    @property
    def rates(self) -> dict[str, float]:
        """Its prices a token, in LiteLLM's names, as the configuration states them."""
        return {
            "input_cost_per_token": float(self.input_price / PER_MILLION),
            "output_cost_per_token": float(self.output_price / PER_MILLION),
            "cache_read_input_token_cost": float(self.input_price / 4 / PER_MILLION),
        }


@cache
def price_of(model: ModelProfile) -> Price:
    """The price that the proxy reads out of the same rates, under the same version."""
    digest = hashlib.sha256(json.dumps(model.rates, sort_keys=True).encode()).hexdigest()[:12]
    price = Price.from_litellm(model.rates, f"config-{digest}")
    assert price is not None
    return price


class Timing(NamedTuple):
    """How long one answer takes, as drawn from its model's profile."""

    ttft_ms: float
    token_ms: float

    def duration_ms(self, output_tokens: int) -> float:
        return self.ttft_ms + self.token_ms * max(output_tokens - 1, 0)


def draw_timing(profile: ModelProfile, uncached_tokens: int, random: Random) -> Timing:
    """Log-normal around the profile, plus the prefill of what the prefix cache did not have."""
    prefill_ms = 1000 * uncached_tokens / profile.prefill_tokens_per_second
    ttft_ms = (profile.ttft_ms + prefill_ms) * random.lognormvariate(0, 0.25)
    return Timing(ttft_ms, 1000 / profile.tokens_per_second * random.lognormvariate(0, 0.12))


STEADY = ModelProfile(
    name=STEADY_MODEL,
    ttft_ms=85,
    tokens_per_second=150,
    input_price=Decimal("0.60"),
    output_price=Decimal("1.20"),
)
SLOW = ModelProfile(
    name=SLOW_MODEL,
    ttft_ms=STEADY.ttft_ms * SLOW_TTFT_FACTOR,
    tokens_per_second=STEADY.tokens_per_second * SLOW_SPEED_FACTOR,
    input_price=STEADY.input_price * SLOW_PRICE_FACTOR,
    output_price=STEADY.output_price * SLOW_PRICE_FACTOR,
    vague=True,
)
QWEN = ModelProfile(
    name="sim-qwen-32b",
    ttft_ms=170,
    tokens_per_second=85,
    input_price=Decimal("1.80"),
    output_price=Decimal("3.60"),
    prefill_tokens_per_second=4000,
    max_model_len=16_384,
    kv_cache_tokens=131_072,
)
FLAKY = ModelProfile(
    name=FLAKY_MODEL,
    ttft_ms=120,
    tokens_per_second=120,
    input_price=Decimal("0.40"),
    output_price=Decimal("0.80"),
    error_rate=FLAKY_ERROR_RATE,
    max_model_len=2048,
)
JUDGE = ModelProfile(
    name="sim-judge",
    ttft_ms=60,
    tokens_per_second=220,
    input_price=Decimal("0.90"),
    output_price=Decimal("1.80"),
)

MODELS: tuple[ModelProfile, ...] = (STEADY, SLOW, QWEN, FLAKY, JUDGE)
