"""What stitching knows of a span, and what it has to say about one."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

CALLS: Final = frozenset(("chat", "text_completion", "embeddings"))
PROXY_SCOPE: Final = "spanwell.proxy"
ANTHROPIC_SDK: Final = "anthropic_sdk"
LOGFIRE: Final = "logfire"
VLLM: Final = "vllm"

Key = tuple[str, str, str]  # project, trace id, span id: other projects' spans are never looked at
TraceKey = tuple[str, str]


class SpanFacts(NamedTuple):
    """A span without its texts and attributes. `usage` counts input, output, cached, cache-write, reasoning tokens.

    `streamed_ms` is set on Logfire's record of a stream that has ended: how long it ran. `is_fresh` says that the
    span came so recently that its parent may still be under way.
    """

    project: str
    trace_id: str
    span_id: str
    parent_span_id: str = ""
    ts_us: int = 0
    duration_us: int = 0
    scope: str = ""
    dialect: str = ""
    service: str = ""
    operation: str = ""
    status: str = "ok"
    request_model: str = ""
    response_id: str = ""
    usage: tuple[int, ...] = (0, 0, 0, 0, 0)
    user_id: str = ""
    session_id: str = ""
    app: str = ""
    environment: str = ""
    release: str = ""
    tags: tuple[str, ...] = ()
    duplicate_of: str = ""
    has_input: bool = False
    has_output: bool = False
    streamed_ms: float | None = None
    is_fresh: bool = False

    @property
    def key(self) -> Key:
        return (self.project, self.trace_id, self.span_id)

    @property
    def trace(self) -> TraceKey:
        return (self.project, self.trace_id)

    @property
    def end_us(self) -> int:
        return self.ts_us + self.duration_us

    @property
    def is_call(self) -> bool:
        return self.operation in CALLS

    @property
    def is_proxy(self) -> bool:
        return self.scope == PROXY_SCOPE

    @property
    def is_server(self) -> bool:
        """Whether the model's server tells of the call, not who made it."""
        return self.dialect == VLLM

    @property
    def has_usage(self) -> bool:
        return any(self.usage)

    @property
    def emitter(self) -> tuple[str, str, bool]:
        """Who tells of the call; nobody tells of one twice."""
        return (self.service, self.scope, self.streamed_ms is not None)

    def is_part_with(self, other: "SpanFacts") -> bool:
        """Whether a model server tells of two sequences of one call (n > 1): each span has all of the input."""
        return (
            self.is_server
            and bool(self.response_id)
            and (self.emitter, self.response_id, self.trace, self.parent_span_id)
            == (other.emitter, other.response_id, other.trace, other.parent_span_id)
        )

    @property
    def order(self) -> tuple[int, str, str]:
        """Sorts spans the same way however they came."""
        return (self.ts_us, self.trace_id, self.span_id)


class Correction(NamedTuple):
    """What has to be written over a span: `columns`, and what it takes over from other spans."""

    span: SpanFacts
    columns: Mapping[str, Any]
    usage_from: SpanFacts | None = None
    input_from: SpanFacts | None = None
    output_from: SpanFacts | None = None
    more_output: int = 0  # tokens that others of its parts made

    @property
    def is_empty(self) -> bool:
        return not (self.columns or self.usage_from or self.input_from or self.output_from or self.more_output)

    @property
    def output_tokens(self) -> int:
        """As they will be."""
        return (self.usage_from or self.span).usage[1] + self.more_output

    def corrected(self) -> SpanFacts:
        """The span as it will be."""
        changed = self.span._replace(**dict(self.columns))
        used = (self.usage_from or self.span).usage
        changed = changed._replace(usage=(used[0], self.output_tokens, *used[2:]))
        has_input, has_output = changed.has_input or bool(self.input_from), changed.has_output or bool(self.output_from)
        return changed._replace(has_input=has_input, has_output=has_output)

    def followed_by(self, later: "Correction") -> "Correction":
        """Both as one."""
        return Correction(
            self.span,
            {**self.columns, **later.columns},
            later.usage_from or self.usage_from,
            later.input_from or self.input_from,
            later.output_from or self.output_from,
            later.more_output + self.more_output,
        )
