"""The gauges, counters and histograms of one simulated engine, and their text exposition under vLLM's names."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spanwell.demo.profiles import ModelProfile
from spanwell.demo.vllm_wire import Reply

TTFT_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
E2E_BUCKETS_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0),
    *(30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
FINISHED = ("stop", "length", "abort", "error", "repetition")

HELP = {
    "num_requests_running": ("gauge", "Number of requests in model execution batches."),
    "num_requests_waiting": ("gauge", "Number of requests waiting to be processed."),
    "kv_cache_usage_perc": ("gauge", "KV-cache usage. 1 means 100 percent usage."),
    "prefix_cache_queries": ("counter", "Prefix cache queries, in terms of number of queried tokens."),
    "prefix_cache_hits": ("counter", "Prefix cache hits, in terms of number of cached tokens."),
    "prompt_tokens": ("counter", "Number of prefill tokens processed."),
    "prompt_tokens_cached": ("counter", "Number of cached prompt tokens (local + external)."),
    "generation_tokens": ("counter", "Number of generation tokens processed."),
    "request_success": ("counter", "Count of successfully processed requests."),
    "time_to_first_token_seconds": ("histogram", "Histogram of time to first token in seconds."),
    "e2e_request_latency_seconds": ("histogram", "Histogram of e2e request latency in seconds."),
}


class Histogram:
    """Counts by upper bound, as Prometheus wants them: cumulative when written out."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self, labels: str) -> Iterator[tuple[str, str, float]]:
        """(suffix, labels, value) of every sample."""
        running = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            running += count
            yield "_bucket", f'{labels},le="{bound}"', running
        yield "_count", labels, running
        yield "_sum", labels, self._sum


@dataclass
class EngineStats:
    """What one model's engine has done since it started."""

    model: ModelProfile
    running: int = 0
    waiting: int = 0
    active_tokens: int = 0  # of the requests that run now
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generation_tokens: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT_BUCKETS_S))
    e2e: Histogram = field(default_factory=lambda: Histogram(E2E_BUCKETS_S))

    @property
    def kv_cache_usage(self) -> float:
        """0 to 1, in spite of the metric's name."""
        return min(self.active_tokens / self.model.kv_cache_tokens, 1.0)

    def begin(self, reply: Reply) -> None:
        self.running += 1
        self.active_tokens += reply.prompt_tokens + reply.completion_tokens
        self.prompt_tokens += reply.prompt_tokens
        self.cached_tokens += reply.cached_tokens

    def end(self, reply: Reply, finish_reason: str, ttft_s: float, e2e_s: float) -> None:
        self.running -= 1
        self.active_tokens -= reply.prompt_tokens + reply.completion_tokens
        self.finished[finish_reason] += 1
        if finish_reason == "abort":
            return
        self.generation_tokens += reply.completion_tokens
        self.ttft.observe(ttft_s)
        self.e2e.observe(e2e_s)

    def samples(self) -> Iterator[tuple[str, str, str, float]]:
        """(metric, suffix, labels, value) of everything, in HELP's names."""
        labels = f'engine="0",model_name="{self.model.name}"'
        yield "num_requests_running", "", labels, self.running
        yield "num_requests_waiting", "", labels, self.waiting
        yield "kv_cache_usage_perc", "", labels, self.kv_cache_usage
        yield "prefix_cache_queries", "_total", labels, self.prompt_tokens
        yield "prefix_cache_hits", "_total", labels, self.cached_tokens
        yield "prompt_tokens", "_total", labels, self.prompt_tokens
        yield "prompt_tokens_cached", "_total", labels, self.cached_tokens
        yield "generation_tokens", "_total", labels, self.generation_tokens
        for reason in FINISHED:
            yield "request_success", "_total", f'{labels},finished_reason="{reason}"', self.finished[reason]
        for suffix, marked, value in self.ttft.samples(labels):
            yield "time_to_first_token_seconds", suffix, marked, value
        for suffix, marked, value in self.e2e.samples(labels):
            yield "e2e_request_latency_seconds", suffix, marked, value


def expose(engines: Iterable[EngineStats]) -> bytes:
    """The body of /metrics, in Prometheus' text format."""
    rows: dict[str, list[str]] = {name: [] for name in HELP}
    for engine in engines:
        for name, suffix, labels, value in engine.samples():
            rows[name].append(f"vllm:{name}{suffix}{{{labels}}} {float(value)}")
    lines: list[str] = []
    for name, (kind, text) in HELP.items():
        full = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", *rows[name]]
    return ("\n".join(lines) + "\n").encode()
