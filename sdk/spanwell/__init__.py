"""Spanwell's SDK: trace functions, score answers, and have it all stored beside the proxy's calls.

    import spanwell

    @spanwell.trace
    def answer(question: str) -> str: ...

Importing this loads OpenTelemetry's API and nothing heavier.
"""

from spanwell.decorators import trace
from spanwell.errors import ConfigError, SpanwellError
from spanwell.outbox import Delivery
from spanwell.scores import score
from spanwell.sessions import session
from spanwell.setup import configure, flush, shutdown
from spanwell.spans import Span, current_trace_id, headers, span

__all__ = [
    "ConfigError",
    "Delivery",
    "Span",
    "SpanwellError",
    "configure",
    "current_trace_id",
    "flush",
    "headers",
    "score",
    "session",
    "shutdown",
    "span",
    "trace",
]
