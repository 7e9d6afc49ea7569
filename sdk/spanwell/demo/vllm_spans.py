"""The span vLLM sends for one request: its old attribute names included, no model and no cached tokens on it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spanwell.demo.otlp import SERVER, Producer, Span
from spanwell.demo.profiles import Timing
from spanwell.demo.vllm_wire import Reply

PRODUCER_SCOPE = "vllm.tracing.otel"


@dataclass(frozen=True)
class Parent:
    """The trace a request came in with. Without one, vLLM begins a trace of its own."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


def read_traceparent(header: str | None) -> Parent:
    """Parse W3C's `traceparent`; anything malformed counts as none."""
    parts = (header or "").split("-")
    if len(parts) == 4 and [len(part) for part in parts] == [2, 32, 16, 2]:
        try:
            trace_id, span_id = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
            return Parent(trace_id, span_id, bool(int(parts[3], 16) & 1))
        except ValueError:
            pass
    return Parent(secrets.token_bytes(16), b"", True)


def make_producer(instance: str) -> Producer:
    """The resource that a vLLM engine describes itself with, and a label that this one is simulated."""
    return Producer(
        {
            "service.name": "vllm-simulated",
            "service.instance.id": instance,
            "vllm.instrumenting_module_name": "vllm.engine_core",
            "vllm.process_kind": "engine_core",
            "vllm.process_name": "EngineCore",
            "spanwell.simulated": True,
        },
        PRODUCER_SCOPE,
    )


def request_span(reply: Reply, body: Mapping[str, Any], timing: Timing, parent: Parent, end_ns: int) -> Span:
    """`llm_request`, as vLLM 0.32 writes it."""
    duration_s = timing.duration_ms(reply.completion_tokens) / 1000
    ttft_s = timing.ttft_ms / 1000
    return Span(
        trace_id=parent.trace_id,
        span_id=secrets.token_bytes(8),
        parent_id=parent.span_id,
        name="llm_request",
        kind=SERVER,
        start_ns=end_ns - int(duration_s * 1e9),
        end_ns=end_ns,
        attributes={
            "gen_ai.request.id": reply.id,
            "gen_ai.request.temperature": float(body.get("temperature") or 0.0),
            "gen_ai.request.top_p": float(body.get("top_p") or 1.0),
            "gen_ai.request.max_tokens": int(body.get("max_tokens") or body.get("max_completion_tokens") or 0),
            "gen_ai.request.n": len(reply.drafts),
            "gen_ai.usage.prompt_tokens": reply.prompt_tokens,
            "gen_ai.usage.completion_tokens": reply.completion_tokens,
            "gen_ai.latency.time_to_first_token": ttft_s,
            "gen_ai.latency.e2e": duration_s,
            "gen_ai.latency.time_in_queue": 0.0,
            "gen_ai.latency.time_in_model_prefill": ttft_s,
            "gen_ai.latency.time_in_model_decode": duration_s - ttft_s,
            "gen_ai.latency.time_in_model_inference": duration_s,
            "spanwell.simulated": True,
        },
    )
