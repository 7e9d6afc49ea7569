"""What a dialect's own table cannot say: what its emitters get wrong, and which of several spans is the call.

Only what is certain of one span is put right here; what takes two spans to know is settled later (calls).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from spanwell import conventions as c
from spanwell_collector.dialects.jsontext import undo_json
from spanwell_collector.dialects.values import Attributes

Correct = Callable[[Any, Attributes], None]

ERROR: Final = 2  # Status.StatusCode of OTLP
MOST_TOKENS: Final = (1 << 32) - 1  # what the store's columns hold
SECOND: Final = 1_000_000_000  # nanoseconds
DAY: Final = 86_400 * SECOND
SCRUBBED: Final = "[Scrubbed due to"
VERCEL_APIS: Final = frozenset(
    {"chat", "completion", "embedding", "image", "messages", "responses", "speech", "transcription"}
)
VERCEL_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
MLFLOW_MODELS: Final = frozenset({"CHAT_MODEL", "LLM", "EMBEDDING"})
NAMING_SPANS: Final = frozenset({"langfuse", "mlflow", "openinference"})
NAMED: Final = {"execute_tool": c.TOOL_NAME, "invoke_agent": c.AGENT_NAME}
VLLM_OPERATIONS: Final = (("cmpl-", "text_completion"), ("embd-", "embeddings"), ("pool-", "embeddings"))
LOGFIRE_ANSWERS: Final = (c.INPUT_TOKENS, c.OUTPUT_MESSAGES, c.RESPONSE_ID, "response_data")


def correct_langfuse(span: Any, attributes: Attributes) -> None:
    """Values of metadata are JSON; the model's name is the one that answered, if any did."""
    _unquote(attributes, "langfuse.observation.")
    if model := attributes.pop("langfuse.observation.model.name", None):
        answered = "langfuse.observation.output" in attributes and span.status.code != ERROR
        attributes.setdefault(c.RESPONSE_MODEL if answered else c.REQUEST_MODEL, model)
    if (begun := _read_time(attributes.pop("langfuse.observation.completion_start_time", None))) is not None:
        attributes.setdefault(c.STREAM, True)
        if begun >= span.start_time_unix_nano:
            attributes.setdefault(c.TIME_TO_FIRST_CHUNK_S, (begun - span.start_time_unix_nano) / SECOND)
    usage = undo_json(attributes.get("langfuse.observation.usage_details"))
    if isinstance(usage, Mapping) and "input_tokens" in usage and "cache_read_input_tokens" in usage:
        _include_cached(attributes, usage)


def correct_logfire(span: Any, attributes: Attributes) -> None:
    """A streamed call is two spans: the request's, which ends early, and a log when the stream has ended."""
    for name in ("session_id", "user_id"):
        if str(attributes.get(name, "")).startswith(SCRUBBED):
            del attributes[name]
    if "return" in attributes:
        attributes.setdefault(c.OUTPUT, attributes.pop("return"))
    if c.OPERATION not in attributes:
        return
    answered = any(name in attributes for name in LOGFIRE_ANSWERS)
    streamed = attributes.get("logfire.span_type") == "log"
    if streamed or not answered:
        attributes.pop(c.RESPONSE_MODEL, None)  # the request's model, whatever answered
    if streamed:
        _stretch(span, attributes.pop("duration", None))
        attributes[c.STREAM] = True
    elif not answered and span.status.code != ERROR:
        del attributes[c.OPERATION]


def correct_mlflow(_span: Any, attributes: Attributes) -> None:
    """Every value is JSON; `gen_ai.request.model` has the model that answered, `model` the one that was asked."""
    _unquote(attributes, "")
    if c.OPERATION not in attributes and str(attributes.get("mlflow.spanType")) not in MLFLOW_MODELS:
        return
    if isinstance(model := attributes.pop("model", None), str):
        if c.REQUEST_MODEL in attributes:
            attributes.setdefault(c.RESPONSE_MODEL, attributes[c.REQUEST_MODEL])
        attributes[c.REQUEST_MODEL] = model


def correct_openllmetry(_span: Any, attributes: Attributes) -> None:
    """The name of a tool or an agent is the traced function's."""
    named = {"tool": c.TOOL_NAME, "agent": c.AGENT_NAME}.get(str(attributes.get("traceloop.span.kind")))
    if named and (name := attributes.get("traceloop.entity.name")):
        attributes.setdefault(named, name)


def correct_vercel(span: Any, attributes: Attributes) -> None:
    """A provider's name ends with its API; lists hold JSON texts; only the inner of two embedding spans has tokens."""
    for name in (c.PROVIDER, "gen_ai.system", "ai.model.provider"):
        provider, _, api = str(attributes.get(name, "")).rpartition(".")
        if provider and api in VERCEL_APIS:
            attributes[name] = provider
    for name in ("ai.prompt.tools", "ai.values"):
        if isinstance(items := attributes.get(name), list):
            attributes[name] = [undo_json(item) for item in items]
    if "stream" in str(attributes.get("ai.operationId", "")).lower() or VERCEL_FIRST_CHUNK in attributes:
        attributes.setdefault(c.STREAM, True)
    embeds = attributes.get(c.OPERATION) == "embeddings" and "ai.operationId" not in attributes
    if embeds and c.INPUT_TOKENS not in attributes and span.status.code != ERROR:
        del attributes[c.OPERATION]


def correct_vllm(span: Any, attributes: Attributes) -> None:
    """The server's span of a call; what called it, if that is known, is the one that counts."""
    if span.name != "llm_request":
        return
    request_id = str(attributes.get("gen_ai.request.id", ""))
    words = (word for start, word in VLLM_OPERATIONS if request_id.startswith(start))
    attributes.setdefault(c.OPERATION, next(words, "chat"))
    attributes.setdefault(c.PROVIDER, "vllm")
    if len(span.parent_span_id) == 8 and any(span.parent_span_id):
        attributes[c.DUPLICATE_OF] = span.parent_span_id.hex()


def correct_usage(attributes: Attributes, tokens: Mapping[str, Any]) -> None:
    """A part cannot be more than the whole: input tokens that are fewer than the cached ones were counted without them.

    `tokens` are the span's counts by our names, as they stand.
    """
    read, written = read_count(tokens.get(c.CACHE_READ_TOKENS)), read_count(tokens.get(c.CACHE_WRITE_TOKENS))
    if tokens.get(c.INPUT_TOKENS) is not None and read + written > read_count(tokens[c.INPUT_TOKENS]):
        attributes[c.INPUT_TOKENS] = read_count(tokens[c.INPUT_TOKENS]) + read + written
        attributes[c.USAGE_BASIS] = "exclusive"


def correct_name(attributes: Attributes, dialect: str, operation: str, name: str) -> None:
    """These call the span of a tool or an agent by its name, and say it nowhere else."""
    if dialect in NAMING_SPANS:
        attributes[NAMED[operation]] = name


def read_count(value: Any) -> int:
    """A number of tokens, in whatever type it was sent; 0 where it is none."""
    try:
        return min(max(0, int(value or 0)), MOST_TOKENS)
    except (TypeError, ValueError, OverflowError):
        return 0


def _include_cached(attributes: Attributes, usage: Mapping[str, Any]) -> None:
    """Anthropic's own usage, whose `input_tokens` are those that were neither read from nor written to its cache."""
    read, written = (read_count(usage.get(f"cache_{kind}_input_tokens")) for kind in ("read", "creation"))
    attributes[c.INPUT_TOKENS] = read_count(usage["input_tokens"]) + read + written
    attributes[c.USAGE_BASIS] = "exclusive"


def _unquote(attributes: Attributes, start: str) -> None:
    for name, value in attributes.items():
        if isinstance(value, str) and value.startswith('"') and name.startswith(start):
            attributes[name] = undo_json(value)


def _read_time(text: Any) -> int | None:
    """ISO text as nanoseconds since 1970."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1000
    except (TypeError, ValueError, OverflowError):
        return None


def _stretch(span: Any, duration_s: Any) -> None:
    """Begin the span `duration_s` before its end. Only its beginning was found to be a time that can be stored."""
    is_short = 0 <= span.end_time_unix_nano - span.start_time_unix_nano < DAY
    if is_short and isinstance(duration_s, int | float) and 0 < duration_s < 86_400:
        span.start_time_unix_nano = span.end_time_unix_nano - int(duration_s * SECOND)


CORRECTIONS: Final[Mapping[str, Correct]] = {
    "langfuse": correct_langfuse,
    "logfire": correct_logfire,
    "mlflow": correct_mlflow,
    "openllmetry": correct_openllmetry,
    "vercel": correct_vercel,
    "vllm": correct_vllm,
}
