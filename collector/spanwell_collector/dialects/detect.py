"""Whose names a span's attributes have: told by the scope that made the span, else by names nobody else uses."""

from collections.abc import Mapping
from typing import Any, Final

NATIVE: Final = "spanwell"
PLAIN: Final = "otel"  # nothing about models in it

SCOPES: Final = (
    ("openinference.", "openinference"),
    ("com.anthropic.sdk", "anthropic_sdk"),
    ("langfuse", "langfuse"),
    ("logfire", "logfire"),
    ("mlflow", "mlflow"),
    ("vllm", "vllm"),
    ("traceloop", "openllmetry"),
    ("opentelemetry.instrumentation.openai.v", "openllmetry"),  # OpenTelemetry's own is called openai_v2
    ("@ai-sdk/", "vercel"),
)
"""By how the name begins."""

WHOLE_SCOPES: Final = {"ai": "vercel", "gen_ai": "vercel"}

MARKERS: Final = (
    ("openinference.span.kind", "openinference"),
    ("langfuse.observation.type", "langfuse"),
    ("ai.operationId", "vercel"),
    ("mlflow.spanType", "mlflow"),
    ("mlflow.traceRequestId", "mlflow"),
    ("traceloop.span.kind", "openllmetry"),
    ("gen_ai.is_streaming", "openllmetry"),
    ("llm.request.type", "openllmetry"),
    ("gen_ai.prompt.0.content", "openllmetry"),
    ("logfire.msg_template", "logfire"),
    ("traceloop.workflow.name", "openllmetry"),
    ("gen_ai.usage.total_tokens", "openllmetry"),
    ("gen_ai.provider.name", "gen_ai"),
    ("gen_ai.system", "gen_ai_old"),
    ("gen_ai.input.messages", "gen_ai"),
    ("gen_ai.output.messages", "gen_ai"),
    ("gen_ai.operation.name", "gen_ai"),
)
"""What is most particular comes first: packages write OpenTelemetry's names beside their own."""

DIALECTS: Final = frozenset(
    {PLAIN, *WHOLE_SCOPES.values(), *(dialect for _, dialect in SCOPES), *(dialect for _, dialect in MARKERS)}
)


def detect_scope(scope: str) -> str:
    """The dialect of everything a scope makes; '' where the scope's name says nothing."""
    if scope in WHOLE_SCOPES:
        return WHOLE_SCOPES[scope]
    return next((dialect for start, dialect in SCOPES if scope.startswith(start)), "")


def detect_marks(attributes: Mapping[str, Any]) -> str:
    """The dialect by the names of a span's attributes."""
    return next((dialect for name, dialect in MARKERS if name in attributes), PLAIN)
