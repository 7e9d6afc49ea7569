"""What can be measured, and by what it can be cut: the only fragments of SQL that a request chooses between.

A metric is taken over requests: the one span that counts for a model call, Spanwell's own left out (see REQUESTS).
"""

from typing import Final, NamedTuple

REQUESTS: Final = "operation IN ('chat', 'text_completion', 'embeddings') AND purpose = '' AND duplicate_of = ''"


class Metric(NamedTuple):
    """A number over a group of requests. `sql` is an aggregate over columns of spanwell.spans."""

    name: str
    unit: str
    help: str
    sql: str


class Dimension(NamedTuple):
    """A column to filter and to group by."""

    name: str
    help: str


_METRICS: Final = [
    Metric("requests", "1", "Model calls", "count()"),
    Metric("errors", "1", "Calls that failed", "countIf(status = 'error')"),
    Metric("error_rate", "ratio", "Failed calls / calls", "if(count() = 0, 0, countIf(status = 'error') / count())"),
    Metric("cost_usd", "USD", "What the priced calls cost", "ifNull(toFloat64(sum(cost_usd)), 0)"),
    Metric("saved_usd", "USD", "What cache hits would have cost", "ifNull(toFloat64(sum(saved_usd)), 0)"),
    Metric(
        "unpriced",
        "1",
        "Calls that succeeded and have no price",
        "countIf(cost_usd IS NULL AND status != 'error' AND cache != 'hit')",
    ),
    Metric("p50_ms", "ms", "Median duration", "quantileExactInclusive(0.5)(duration_ms)"),
    Metric("p95_ms", "ms", "95th percentile of duration", "quantileExactInclusive(0.95)(duration_ms)"),
    Metric("p99_ms", "ms", "99th percentile of duration", "quantileExactInclusive(0.99)(duration_ms)"),
    Metric("ttft_p50_ms", "ms", "Median time to first token", "quantileExactInclusive(0.5)(ttft_ms)"),
    Metric("ttft_p95_ms", "ms", "95th percentile of time to first token", "quantileExactInclusive(0.95)(ttft_ms)"),
    Metric("input_tokens", "token", "Prompt tokens, cached ones included", "sum(input_tokens)"),
    Metric("output_tokens", "token", "Completion tokens, reasoning included", "sum(output_tokens)"),
    Metric("cached_tokens", "token", "Prompt tokens read from the provider's cache", "sum(cached_tokens)"),
    Metric(
        "tokens_per_second",
        "token/s",
        "Completion tokens / time from first to last, cache hits left out",
        "sumIf(output_tokens, cache != 'hit')"
        " / nullIf(sumIf(duration_ms - ifNull(ttft_ms, 0), cache != 'hit' AND output_tokens > 0) / 1000, 0)",
    ),
    Metric("cache_hits", "1", "Calls answered from Spanwell's cache", "countIf(cache = 'hit')"),
    Metric("cache_hit_rate", "ratio", "Cache hits / calls", "if(count() = 0, 0, countIf(cache = 'hit') / count())"),
    Metric("users", "1", "Distinct users", "uniqExactIf(user_id, user_id != '')"),
    Metric("sessions", "1", "Distinct sessions", "uniqExactIf(session_id, session_id != '')"),
]
METRICS: Final = {metric.name: metric for metric in _METRICS}

_DIMENSIONS: Final = [
    Dimension("model", "The model that answered, or the one asked for"),
    Dimension("request_model", "The model that was asked for"),
    Dimension("provider", "Who runs the model"),
    Dimension("operation", "chat, embeddings, execute_tool, ..."),
    Dimension("status", "ok, error or unset"),
    Dimension("app", "The application that called"),
    Dimension("user_id", "The user it called for"),
    Dimension("session_id", "The conversation the call belongs to"),
    Dimension("cache", "hit, miss, or empty when never looked up"),
    Dimension("deployment", "The configured deployment that answered"),
    Dimension("key_id", "The virtual key that paid"),
    Dimension("team", "The team of that key"),
    Dimension("environment", "deployment.environment.name of the service"),
]
DIMENSIONS: Final = {dimension.name: dimension for dimension in _DIMENSIONS}
