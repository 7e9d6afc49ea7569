"""What can be measured, and by what it can be cut: the only fragments of SQL that a request chooses between.

A metric is taken over requests: spans of a model call that were not Spanwell's own, each call once (see REQUESTS).
A value that a request brings, a key of a map included, is a bound parameter and never text.
"""

import re
from typing import Final, Literal, NamedTuple

from spanwell.conventions import CALLS
from spanwell.rates import KINDS

# What repeats a call is stored, and counts nowhere.
REQUESTS: Final = f"operation IN {CALLS} AND purpose = '' AND duplicate_of = ''"
PERCENTILE: Final = re.compile(r"(ttft_)?p([1-9]|[1-9]\d)_ms")
MAP_FIELD: Final = re.compile(r"(attribute|resource)\.(.{1,256})", re.DOTALL)

Kind = Literal["text", "flag", "number", "list", "map"]


class Metric(NamedTuple):
    """A number over a group of requests. `sql` is an aggregate over columns of spanwell.spans."""

    name: str
    unit: str
    help: str
    sql: str


class Field(NamedTuple):
    """What spans can be filtered by. `sql` is a column of spanwell.spans, or text made of one."""

    name: str
    kind: Kind
    help: str
    sql: str


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

# Asked for by name only: an overview without names answers METRICS.
_MORE_METRICS: Final = [
    Metric("cache_write_tokens", "token", "Prompt tokens written to the provider's cache", "sum(cache_write_tokens)"),
    Metric("reasoning_tokens", "token", "Completion tokens spent on reasoning", "sum(reasoning_tokens)"),
    Metric("total_tokens", "token", "Prompt and completion tokens", "sum(input_tokens) + sum(output_tokens)"),
    *(
        Metric(f"{kind}_tokens", "token", f"Tokens of kind {kind}", f"sum(usage['{kind}'])")
        for kind in ("cache_write_1h", "audio_input", "audio_output", "image_input", "image_output")
    ),
    *(
        Metric(
            f"{kind}_cost_usd", "USD", f"Cost of kind {kind}, where known by kind", f"toFloat64(sum(costs['{kind}']))"
        )
        for kind in KINDS
    ),
    Metric(
        "cost_per_request_usd", "USD", "Cost / priced calls", "toFloat64(sum(cost_usd)) / nullIf(count(cost_usd), 0)"
    ),
    Metric("mean_ms", "ms", "Mean duration", "avg(duration_ms)"),
    Metric("ttft_mean_ms", "ms", "Mean time to first token", "avg(ttft_ms)"),
    Metric("attempts", "1", "Calls to backends", "sum(attempts)"),
]
ALL_METRICS: Final = METRICS | {metric.name: metric for metric in _MORE_METRICS}
MEASURABLE: Final = (*ALL_METRICS, "p1_ms .. p99_ms", "ttft_p1_ms .. ttft_p99_ms")

_DIMENSIONS: Final = [
    Field("model", "text", "The model that answered, or the one asked for", "model"),
    Field("request_model", "text", "The model that was asked for", "request_model"),
    Field("provider", "text", "Who runs the model", "provider"),
    Field("operation", "text", "chat, embeddings, execute_tool, ...", "operation"),
    Field("status", "text", "ok, error or unset", "status"),
    Field("app", "text", "The application that called", "app"),
    Field("user_id", "text", "The user it called for", "user_id"),
    Field("session_id", "text", "The conversation the call belongs to", "session_id"),
    Field("cache", "text", "hit, miss, or empty when never looked up", "cache"),
    Field("deployment", "text", "The configured deployment that answered", "deployment"),
    Field("key_id", "text", "The virtual key that paid", "key_id"),
    Field("team", "text", "The team of that key", "team"),
    Field("environment", "text", "deployment.environment.name of the service", "environment"),
    Field("service", "text", "service.name of the process that sent the span", "service"),
    Field("release", "text", "The version of the application", "release"),
    Field("agent", "text", "The agent that called", "agent"),
    Field("tool", "text", "The tool that was executed", "tool"),
    Field("prompt_name", "text", "The prompt template", "prompt_name"),
    Field("prompt_version", "text", "Its version", "prompt_version"),
    Field("dialect", "text", "The conventions the span came in: spanwell, gen_ai, openinference, ...", "dialect"),
    Field("error_type", "text", "Why a call failed", "error_type"),
    Field("finish_reason", "text", "Why the model stopped", "finish_reason"),
    Field("service_tier", "text", "The provider's tier: batch, priority, ...", "service_tier"),
    Field("cost_source", "text", "reported, priced, repriced, or empty when unpriced", "cost_source"),
    Field("scope", "text", "The instrumentation that made the span", "scope"),
    Field("name", "text", "What its producer called the span", "name"),
    Field("stream", "flag", "true when the answer was streamed", "toString(stream)"),
    Field("simulated", "flag", "true when no model answered", "toString(simulated)"),
]
DIMENSIONS: Final = {field.name: field for field in _DIMENSIONS}

_MORE_FIELDS: Final = [
    Field("trace_id", "text", "32 hex digits", "trace_id"),
    Field("response_id", "text", "The provider's id of the answer", "response_id"),
    Field("tag", "list", "A tag the caller gave", "tags"),
    Field("duration_ms", "number", "Length of the span", "duration_ms"),
    Field("ttft_ms", "number", "Time to first token", "ttft_ms"),
    Field("cost_usd", "number", "Price of the call", "toFloat64(cost_usd)"),
    Field("input_tokens", "number", "Prompt tokens", "input_tokens"),
    Field("output_tokens", "number", "Completion tokens", "output_tokens"),
    Field("cached_tokens", "number", "Prompt tokens read from the provider's cache", "cached_tokens"),
    Field("reasoning_tokens", "number", "Completion tokens spent on reasoning", "reasoning_tokens"),
    Field("attempts", "number", "Calls to backends made for this one", "attempts"),
    Field("http_status", "number", "HTTP status of the answer", "http_status"),
]
FIELDS: Final = DIMENSIONS | {field.name: field for field in _MORE_FIELDS}
NUMBERS: Final = tuple(field.name for field in FIELDS.values() if field.kind == "number")
MAP_FIELDS: Final = {
    "attribute": Field("attribute.KEY", "map", "An attribute of the span that has no column", "attributes"),
    "resource": Field("resource.KEY", "map", "An attribute of the process that sent it", "resource"),
}


def find_metric(name: str) -> Metric | None:
    """The metric called `name`: a listed one, or any percentile from 1 to 99."""
    if listed := ALL_METRICS.get(name):
        return listed
    found = PERCENTILE.fullmatch(name)
    if found is None:
        return None
    column, of = ("ttft_ms", "time to first token") if found[1] else ("duration_ms", "duration")
    level = int(found[2])
    return Metric(name, "ms", f"{level}th percentile of {of}", f"quantileExactInclusive({level / 100})({column})")


def find_field(name: str) -> Field | None:
    """The field called `name`: a listed one, or `attribute.KEY` or `resource.KEY` with any key."""
    if listed := FIELDS.get(name):
        return listed
    found = MAP_FIELD.fullmatch(name)
    return MAP_FIELDS[found[1]]._replace(name=name) if found else None


def key_of(field: Field) -> str:
    """The key in its map that a map's field is about."""
    return field.name.partition(".")[2]
