"""What is known of each deployment while it serves: the only state that routing looks at. One object a worker."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from spanwell_proxy.config.routes import LAST, Deployment
from spanwell_proxy.routing.breaker import Breaker
from spanwell_proxy.routing.minute import Minute
from spanwell_proxy.routing.prefix import hash_text

DECAY_S = 10.0  # after this long a peak is forgotten by two thirds
SLOWEST_S = 600.0
MINUTE_S = 60.0
FRESH_S = 5.0  # what a backend said of its load holds this long
FAILED_S = 1.0  # a failure counts as at least this slow, or what fails fast would draw all traffic


@dataclass(slots=True, eq=False)
class Facts:
    """Times are seconds of the monotonic clock. The backend's own load is None until it was told."""

    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    first_s: float = 0.0  # peak-EWMA until a stream's first content; 0 while unknown
    whole_s: float = 0.0  # the same until a whole answer
    first_at: float = 0.0
    whole_at: float = 0.0
    error_rate: float = 0.0  # EWMA over the last twenty or so attempts
    waiting: int | None = None
    running: int | None = None
    cache_use: float | None = None  # 0 to 1
    load_at: float = 0.0
    is_up: bool = True  # answers its health checks
    is_drained: bool = False  # gets no new calls
    full_until: float = 0.0  # its own requests or tokens a minute are used up
    minute: Minute = field(default_factory=Minute)
    max_tokens: float = math.inf  # of a prompt and its answer, as the backend says
    output_tokens: float = 0.0  # EWMA of its answers' length
    tokens_a_minute: float = 0.0  # decaying, as of `used_at`
    used_at: float = 0.0
    quality: float | None = None  # the mean of what its answers were judged, 0 to 1

    def is_ready(self, now: float) -> bool:
        """Whether it may be asked at all."""
        return self.is_up and not self.is_drained and self.full_until <= now and self.breaker.is_ready(now)

    def begin(self) -> None:
        """An attempt starts."""
        self.in_flight += 1

    def end(self, now: float, elapsed_s: float | None, *, stream: bool, failed: bool) -> None:
        """It ended, `elapsed_s` after its start: for a stream its first content, else its end. None: not known."""
        self.in_flight = max(0, self.in_flight - 1)
        self.error_rate += (failed - self.error_rate) * 0.05
        if elapsed_s is not None:
            self.note_latency(now, max(elapsed_s, FAILED_S, self.whole_s) if failed else elapsed_s, stream=stream)

    def note_latency(self, now: float, elapsed_s: float, *, stream: bool) -> None:
        """Peak-EWMA: what is slower counts at once, what is faster only as time passes."""
        elapsed_s = min(elapsed_s, SLOWEST_S)
        if stream:
            self.first_s, self.first_at = _blend(self.first_s, elapsed_s, now - self.first_at), now
        else:
            self.whole_s, self.whole_at = _blend(self.whole_s, elapsed_s, now - self.whole_at), now

    def note_usage(self, now: float, input_tokens: int, output_tokens: int) -> None:
        """What an answer used."""
        self.output_tokens += (output_tokens - self.output_tokens) * (0.1 if self.output_tokens else 1.0)
        self.tokens_a_minute, self.used_at = self.spent_tokens(now) + input_tokens + output_tokens, now

    def spent_tokens(self, now: float) -> float:
        """About the tokens of the last minute."""
        return self.tokens_a_minute * math.exp(-max(0.0, now - self.used_at) / MINUTE_S)

    def latency_s(self, *, stream: bool) -> float:
        """Until a stream's first content, or a whole answer; what is known of the other, where this one is not."""
        return (self.first_s or self.whole_s) if stream else (self.whole_s or self.first_s)

    def busy(self, now: float) -> int:
        """Calls it is working on: those of this worker, or what it said itself, where that is more and fresh."""
        if self.waiting is not None and now - self.load_at < FRESH_S:
            return max(self.in_flight, self.waiting + (self.running or 0))
        return self.in_flight

    def note_load(self, now: float, waiting: int, running: int | None, cache_use: float) -> None:
        """What the backend says of itself, in an answer's header or in its metrics."""
        self.waiting, self.cache_use, self.load_at = waiting, cache_use, now
        if running is not None:
            self.running = running


class Traits(NamedTuple):
    """What of a deployment decisions look at, ready to be compared."""

    hashed_id: int = 0
    tags: frozenset[str] = frozenset()
    order: int = LAST
    max_input: float = math.inf  # tokens of a prompt, where it is known
    input_usd: float = math.inf  # a token; a deployment without a price counts as the dearest
    output_usd: float = math.inf


class Candidate(NamedTuple):
    """A deployment that may answer, with what is known of it."""

    deployment: Deployment
    facts: Facts
    traits: Traits = Traits()


def watch(deployment: Deployment, facts: Facts, now: datetime) -> Candidate:
    """The candidate a deployment is, at the prices of `now`."""
    price = deployment.find_price(now)
    traits = Traits(
        hashed_id=hash_text(deployment.id),
        tags=frozenset(deployment.tags),
        order=deployment.order,
        max_input=deployment.context_tokens or math.inf,
        input_usd=float(price.input) if price else math.inf,
        output_usd=float(price.output) if price else math.inf,
    )
    return Candidate(deployment, facts, traits)


def _blend(known_s: float, seen_s: float, since_s: float) -> float:
    if seen_s >= known_s:
        return seen_s
    return seen_s + (known_s - seen_s) * math.exp(-max(0.0, since_s) / DECAY_S)
